# Docker's daemon, from Debian's package instead of Docker's own image.
FROM debian:13-slim
RUN apt-get update && apt-get install -y --no-install-recommends docker.io docker-cli iptables && rm -rf /var/lib/apt/lists/*
