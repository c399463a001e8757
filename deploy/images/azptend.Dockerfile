# Only azptend, for the COPY --from of your own Dockerfile, which keeps its owner and mode:
#   docker build -f azptend.Dockerfile -t azptend .
#   COPY --from=azptend /azptend /usr/local/bin/azptend
FROM golang:1.26 AS build
ARG AZPTEND_REF=main
RUN git clone --depth 1 --branch "$AZPTEND_REF" https://github.com/azptend/azptend /src && cd /src && \
    CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /azptend ./cmd/azptend && chmod 0711 /azptend

FROM scratch
# Owned by root, mode 0711: the kernel keeps a process of an unreadable executable closed to its user (docs/security.md).
COPY --from=build --chown=0:0 /azptend /azptend
USER 10001:10001
HEALTHCHECK NONE
ARG AZPTEND_REF=main
LABEL org.opencontainers.image.title="azptend" org.opencontainers.image.description="azptend, for COPY --from" \
    org.opencontainers.image.source="https://github.com/azptend/azptend" org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$AZPTEND_REF"
ENTRYPOINT ["/azptend"]
