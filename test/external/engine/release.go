package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// installRelease installs what goreleaser made in containers of each Debian, as a user does.
func installRelease(ctx context.Context, o options, engines []*engine, bases []base) error {
	if names, err := filepath.Glob(filepath.Join(o.release, "azptend-*-sha256.txt")); err != nil || len(names) != 1 {
		return fmt.Errorf("cannot install the release in %s: it has %d files of sums, not one", o.release, len(names))
	}
	for _, e := range engines {
		if err := step("base images in "+e.name, func() error { return e.importBases(ctx, bases) }); err != nil {
			return err
		}
		for _, b := range bases {
			for _, kind := range []struct{ name, script string }{{"archive", useArchive}, {"deb", useDeb}, {"rpm", useRPM}} {
				err := step(fmt.Sprintf("%s on %s in %s", kind.name, b.image, e.name), func() error {
					return e.useRelease(ctx, o, b.image, kind.name, kind.script)
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// useRelease runs a script in a new container that has the release in /dist, and keeps its output.
func (e *engine) useRelease(ctx context.Context, o options, image, kind, script string) error {
	c := e.command(ctx, append(append([]string{"run", "--rm"}, e.containerOptions()...),
		"-v", o.release+":/dist:ro", "-e", "ARCH="+runtime.GOARCH, "-e", "DEBIAN_FRONTEND=noninteractive",
		"docker.io/library/"+image, "sh", "-euxc", not+script)...)
	out, err := c.CombinedOutput()
	name := filepath.Join(o.logs, strings.ReplaceAll(strings.Join([]string{"release", e.name, image, kind}, "-"), ":", "-")+".log")
	err = errors.Join(err, os.WriteFile(name, out, 0o644))
	if err != nil {
		return fmt.Errorf("%w; see %s\n%s", err, name, out[max(0, len(out)-2000):])
	}
	return nil
}

// not fails if a command succeeds. The shell's own ! does not: sh -e ignores its result.
const not = "not() { if \"$@\"; then exit 1; fi; }\n"

// useArchive checks the sums, unpacks the archive and runs azptend.
const useArchive = `
cd /dist
sha256sum --check --ignore-missing azptend-*-sha256.txt
tar -xzf azptend-*-linux-$ARCH.tar.gz -C /tmp
cd /tmp
for file in LICENSE THIRD_PARTY_NOTICES README.md CHANGELOG.md; do test -s $file; done
./azptend version | grep -E '^azptend [^ ]+ \(commit [0-9a-f]{12} of [^ ]+Z, go1[.]' # and not "modified"
`

// installed checks what both packages install. The unit is what azptend service writes.
const installed = `
test "$(stat -c '%a %U:%G' /usr/bin/azptend)" = '711 root:root'
test "$(stat -c '%a %U:%G' /etc/azptend/azptend.env)" = '600 root:root'
test "$(stat -c '%a %U:%G' /azp)" = '755 agent:agent'
test -d /home/agent
test -s /usr/share/doc/azptend/copyright
azptend service --agent-dir /azp --grace-period 1h | diff - /usr/lib/systemd/system/azptend.service
setpriv --reuid agent --regid agent --clear-groups azptend version
not setpriv --reuid agent --regid agent --clear-groups head -c 1 /usr/bin/azptend
`

// useDeb also shows that an upgrade keeps the settings, and a removal the agent's user and directory.
const useDeb = `
apt-get update -qq
apt-get install -y -qq --no-install-recommends /dist/azptend-*-$ARCH.deb
` + installed + `
echo AZP_POOL=linux >>/etc/azptend/azptend.env
apt-get install -y -qq --no-install-recommends --reinstall /dist/azptend-*-$ARCH.deb
grep AZP_POOL=linux /etc/azptend/azptend.env
test "$(stat -c %a /usr/bin/azptend)" = 711
apt-get remove -y -qq azptend
not test -e /usr/bin/azptend
not test -e /usr/lib/systemd/system/azptend.service
grep AZP_POOL=linux /etc/azptend/azptend.env
apt-get purge -y -qq azptend
not test -e /etc/azptend
test "$(stat -c %U /azp)" = agent
`

// useRPM uses Debian's rpm, without dependencies: Debian has no packages of rpm.
const useRPM = `
apt-get update -qq
apt-get install -y -qq --no-install-recommends rpm
rpm --install --nodeps /dist/azptend-*-$ARCH.rpm
` + installed + `
echo AZP_POOL=linux >>/etc/azptend/azptend.env
rpm --upgrade --nodeps --force /dist/azptend-*-$ARCH.rpm
grep AZP_POOL=linux /etc/azptend/azptend.env
test "$(stat -c %a /usr/bin/azptend)" = 711
rpm --erase --nodeps azptend
not test -e /usr/bin/azptend
test "$(stat -c %U /azp)" = agent
`
