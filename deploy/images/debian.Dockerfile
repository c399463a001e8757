# An agent on Debian 13, or 12 with --build-arg DEBIAN=12. It needs no build context, only the agent's version and its
# SHA-256:
#   docker build -f debian.Dockerfile --build-arg AGENT_VERSION=5.282.3 --build-arg AGENT_SHA256=… -t agent .
ARG DEBIAN=13
FROM golang:1.26 AS build
ARG AZPTEND_REF=main
RUN git clone --depth 1 --branch "$AZPTEND_REF" https://github.com/azptend/azptend /src && cd /src && \
    CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /azptend ./cmd/azptend && chmod 0711 /azptend

FROM debian:${DEBIAN}-slim
# What the agent's .NET needs, and git for checking out; add what your jobs need. ICU is libicu72 on 12, libicu76 on 13.
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates curl git '^libicu7[26]$' libkrb5-3 libssl3 libstdc++6 zlib1g && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --uid 10001 --create-home agent && install -d -o agent -g agent /azp
# Owned by root, mode 0711: the kernel keeps a process of an unreadable executable closed to its user (docs/security.md).
COPY --from=build --chown=0:0 /azptend /usr/local/bin/azptend
ENV LANG=C.UTF-8
USER 10001:10001
# No default: whoever builds the image selects the agent. Microsoft's release notes have a checksum for each platform.
ARG AGENT_VERSION
ARG AGENT_SHA256
RUN azptend install --agent-dir /azp --agent-version "$AGENT_VERSION" --agent-sha256 "$AGENT_SHA256"
HEALTHCHECK --interval=30s --timeout=10s CMD ["azptend", "healthcheck"]
ENTRYPOINT ["azptend", "run"]
