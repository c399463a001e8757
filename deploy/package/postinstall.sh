#!/bin/sh
# After the installation and each upgrade: the user and the directory of docs/vm.md. It starts nothing. The first time the
# settings are missing, and an upgrade must not stop a job: the running azptend stays until its next start.
set -e
getent passwd agent >/dev/null || useradd --create-home --shell /bin/bash agent
[ -d /azp ] || install -d -o agent -g "$(id -gn agent)" /azp
# A user who cannot read the program cannot read the memory of its process either.
chmod 0711 /usr/bin/azptend
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
