# A pool's keeper, and every other command that runs no agent: only azptend and the CA certificates.
#   docker build -f keep.Dockerfile -t azptend-keep .
#   docker run … azptend-keep keep | prune --yes | placeholder ensure
FROM golang:1.26 AS build
ARG AZPTEND_REF=main
RUN git clone --depth 1 --branch "$AZPTEND_REF" https://github.com/azptend/azptend /src && cd /src && \
    CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /azptend ./cmd/azptend && chmod 0711 /azptend

FROM scratch
COPY --from=build --chown=0:0 /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=0:0 /azptend /azptend
USER 10001:10001
# No agent runs here, so there is no HEALTHCHECK; the keeper's health is /healthz on AZP_KEEP_LISTEN.
HEALTHCHECK NONE
ARG AZPTEND_REF=main
LABEL org.opencontainers.image.title="azptend-keep" org.opencontainers.image.description="the keeper of Azure Pipelines agent pools, and every command that runs no agent" \
    org.opencontainers.image.source="https://github.com/azptend/azptend" org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$AZPTEND_REF"
ENTRYPOINT ["/azptend"]
CMD ["keep"]
