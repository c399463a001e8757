#!/bin/sh
# Before a removal, which is "remove" for dpkg and 0 for rpm, but not before an upgrade: the running job finishes, and
# the agent leaves its pool.
set -e
case $1 in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now azptend.service || true # an agent that cannot leave must not prevent the removal
	fi
	;;
esac
