# The agent's image with Docker's client.
FROM localhost/agent:13
USER root
RUN apt-get update && apt-get install -y --no-install-recommends docker-cli && rm -rf /var/lib/apt/lists/*
USER 10001:10001
