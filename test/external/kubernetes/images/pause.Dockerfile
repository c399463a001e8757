# What holds a pod's namespaces.
FROM debian:13-slim
ENTRYPOINT ["sleep", "infinity"]
