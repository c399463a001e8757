# An agent on Alpine: the slim package, which is the one that Microsoft builds for musl.
#   docker build -f alpine.Dockerfile --build-arg AGENT_VERSION=5.282.3 --build-arg AGENT_SHA256=… -t agent .
FROM golang:1.26-alpine AS build
ARG AZPTEND_REF=main
RUN apk add --no-cache git && \
    git clone --depth 1 --branch "$AZPTEND_REF" https://github.com/azptend/azptend /src && cd /src && \
    CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /azptend ./cmd/azptend && chmod 0711 /azptend

FROM alpine:3.22
# What the agent's .NET needs, bash for script steps, and git for checking out; add what your jobs need.
RUN apk add --no-cache bash ca-certificates curl git icu-data-full icu-libs krb5-libs libgcc libssl3 libstdc++ zlib && \
    adduser -D -u 10001 agent && install -d -o agent -g agent /azp
# Owned by root, mode 0711: the kernel keeps a process of an unreadable executable closed to its user (docs/security.md).
COPY --from=build --chown=0:0 /azptend /usr/local/bin/azptend
ENV LANG=C.UTF-8
USER 10001:10001
# No default: whoever builds the image selects the agent. Microsoft's release notes have a checksum for each platform.
ARG AGENT_VERSION
ARG AGENT_SHA256
RUN azptend install --agent-dir /azp --agent-package pipelines-agent --agent-version "$AGENT_VERSION" --agent-sha256 "$AGENT_SHA256"
HEALTHCHECK --interval=30s --timeout=10s CMD ["azptend", "healthcheck"]
ENTRYPOINT ["azptend", "run"]
