package repository

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/azptend/azptend/test/internal/dockerfile"
)

// TestImages checks the Dockerfiles against the rules in docs/images.md, without a container engine.
// test/external/engine builds and runs them.
func TestImages(t *testing.T) {
	files, err := filepath.Glob("../../deploy/images/*.Dockerfile")
	if err != nil || len(files) < 4 {
		t.Fatalf("images are %v, %v", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		faults := faultsOf(string(b))
		forAgents := !slices.Contains([]string{"keep.Dockerfile", "azptend.Dockerfile"}, filepath.Base(file))
		if forAgents && !strings.Contains(string(b), "azptend install ") {
			faults = append(faults, "no agent is installed by azptend install")
		}
		for _, fault := range faults {
			t.Errorf("%s: %s", file, fault)
		}
	}
}

// TestPagesWithoutBuildKit reads the parts of Dockerfiles that pages show.
func TestPagesWithoutBuildKit(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("pages are %v, %v", pages, err)
	}
	for _, page := range append(pages, "../../README.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if found := buildKitCopy.FindString(string(b)); found != "" {
			t.Errorf("%s: %q needs BuildKit, which az acr build does not have", page, found)
		}
	}
}

// TestImageRules shows that each rule finds a fault.
func TestImageRules(t *testing.T) {
	const good = `ARG DEBIAN=13
FROM golang:1.26 AS build
RUN go build -o /azptend ./cmd/azptend && chmod 0711 /azptend
FROM debian:${DEBIAN}-slim
COPY --from=build --chown=0:0 /azptend /usr/local/bin/azptend
USER 10001:10001
ARG AGENT_VERSION
ARG AGENT_SHA256
RUN azptend install --agent-version "$AGENT_VERSION" \
    # a comment between
    --agent-sha256 "$AGENT_SHA256"
HEALTHCHECK --interval=30s CMD ["azptend", "healthcheck"]
ENTRYPOINT ["azptend", "run"]
`
	if faults := faultsOf(good); len(faults) > 0 {
		t.Fatalf("a good one has %q", faults)
	}
	for _, tt := range []struct{ old, new, fault string }{
		{"USER 10001:10001\n", "", "user"},
		{"USER 10001:10001", "USER root", "user"},
		{"USER 10001:10001", "USER 0:10001", "user"},
		{"USER 10001:10001", "USER agent", "user"},
		{"ENTRYPOINT", "USER root\nENTRYPOINT", "user"},
		{"chmod 0711", "chmod 0755", "0711"},
		{" && chmod 0711 /azptend", "", "0711"},
		{"--from=build ", "--from=azptend ", "0711"},
		{"--chown=0:0 ", "--chown=agent ", "0:0"},
		{"--chown=0:0 ", "--chown=root:root ", "0:0"},
		{"COPY --from=build --chown=0:0 /azptend /usr/local/bin/azptend\n", "", "azptend"},
		{"--chown=0:0", "--chown=0:0 --chmod=0711", "BuildKit"},
		{"--chown=0:0", "--link --chown=0:0", "BuildKit"},
		{"RUN go", "RUN --mount=type=cache,target=/root/.cache go", "BuildKit"},
		{"RUN go", "RUN --network=none go", "BuildKit"},
		{"RUN azptend", "RUN <<EOF\nazptend", "BuildKit"},
		{"ARG DEBIAN", "# syntax=docker/dockerfile:1\nARG DEBIAN", "BuildKit"},
		{"FROM golang", "FROM --platform=$BUILDPLATFORM golang", "BuildKit"},
		{`ENTRYPOINT ["azptend", "run"]`, "ENTRYPOINT azptend run", "exec form"},
		{`ENTRYPOINT ["azptend", "run"]`, `ENTRYPOINT ["tini", "--", "azptend", "run"]`, "azptend"},
		{`ENTRYPOINT ["azptend", "run"]` + "\n", "", "ENTRYPOINT"},
		{`HEALTHCHECK --interval=30s CMD ["azptend", "healthcheck"]` + "\n", "", "HEALTHCHECK"},
		{`CMD ["azptend", "healthcheck"]`, "CMD curl -f localhost", "HEALTHCHECK"},
		{`CMD ["azptend", "healthcheck"]`, `CMD ["azptend", "healthcheck", "--ready"]`, "HEALTHCHECK"},
		{"USER", "ENV AZP_TOKEN=x\nUSER", "AZP_TOKEN"},
		{"USER", "ARG AZP_CLIENTSECRET\nUSER", "AZP_CLIENTSECRET"},
		{"USER", "COPY .env /azp/.env\nUSER", "folder"},
		{"USER", "ADD x /x\nUSER", "ADD"},
		{"RUN azptend", "RUN curl -fsSL https://x/y.tar.gz | tar -xz && azptend", "unverified"},
		{"RUN azptend", "RUN wget -O- https://x/y.sh | sh && azptend", "unverified"},
		{"ARG AGENT_SHA256\n", "ARG AGENT_SHA256=00\n", "default"},
		{"ARG AGENT_VERSION\n", "", "AGENT_VERSION"},
		{`--agent-sha256 "$AGENT_SHA256"`, "", "--agent-sha256"},
		{"FROM debian:${DEBIAN}-slim", "FROM debian", "tag"},
		{"FROM debian:${DEBIAN}-slim", "FROM debian:latest", "tag"},
		{"ARG DEBIAN=13\n", "ARG DEBIAN=\n", "tag"},
	} {
		text := strings.Replace(good, tt.old, tt.new, 1)
		if text == good {
			t.Fatalf("%q changes nothing", tt.old)
		}
		faults := faultsOf(text)
		if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, tt.fault) }) {
			t.Errorf("%q in place of %q: faults are %q, none about %s", tt.new, tt.old, faults, tt.fault)
		}
	}
}

var (
	secretName   = regexp.MustCompile(`(?i)token|secret|password|_pat\b`)
	unverified   = regexp.MustCompile(`(curl|wget)\b[^&;]*\|`)
	buildKitCopy = regexp.MustCompile(`\bCOPY --.*--(chmod|link|parents|exclude)\b`)
	// buildKit is what the classic builder refuses, which `az acr build` uses:
	// directives, here-documents, the architecture that builds, and options.
	buildKit = regexp.MustCompile(`(?im)^#\s*syntax\s*=.*|<<-?["']?[a-z]+|\$\{?(BUILD|TARGET)(PLATFORM|ARCH|OS)\b|^(COPY|ADD|RUN)\b.* --(chmod|link|parents|exclude|mount|network|security)\b`)
)

// faultsOf says what is wrong with an image.
func faultsOf(text string) []string {
	stages, err := dockerfile.Parse(text)
	if err != nil {
		return []string{err.Error()}
	}
	var faults []string
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for _, stage := range stages {
		if _, tag, _ := strings.Cut(stage.From, ":"); stage.From != "scratch" && (tag == "" || tag == "latest" || tag == "-slim") {
			bad("FROM %s has no tag that stays", stage.From)
		}
		for _, in := range stage.Instructions {
			judge(in, bad)
		}
	}
	if found := buildKit.FindString(text); found != "" {
		bad("%q needs BuildKit, which az acr build does not have", found)
	}
	judgeEntry(stages, bad)
	judgeInstall(stages[len(stages)-1], bad)
	return faults
}

// judge checks rules for the instructions of all stages.
func judge(in dockerfile.Instruction, bad func(string, ...any)) {
	switch in.Word {
	case "ADD":
		bad("ADD fetches and unpacks without a word: COPY does not")
	case "ARG", "ENV":
		if name, _, _ := strings.Cut(in.Args, "="); secretName.MatchString(name) {
			bad("%s %s puts a secret into the image's history", in.Word, name)
		}
	case "COPY":
		if options, _ := in.Options(); options["from"] == "" {
			bad("COPY %s takes from the folder it is built in, where secrets may be", in.Args)
		}
	case "RUN":
		if unverified.MatchString(in.Args) {
			bad("RUN uses an unverified download: %s", in.Args)
		}
	}
}

// judgeEntry checks the user and the entrypoint of the image.
func judgeEntry(stages []dockerfile.Stage, bad func(string, ...any)) {
	image := stages[len(stages)-1]
	last := map[string]dockerfile.Instruction{}
	owned := false
	for _, in := range image.Instructions {
		last[in.Word] = in
		options, rest := in.Options()
		if in.Word != "COPY" || filepath.Base(rest[len(rest)-1]) != "azptend" {
			continue
		}
		owned = true
		if options["chown"] != "0:0" { // Podman looks a name up in the image, and one from scratch knows none
			bad("azptend is not owned by 0:0: COPY %s", in.Args)
		}
		if !setsMode(stages, options["from"]) {
			bad("no stage %q sets azptend's mode to 0711: COPY %s", options["from"], in.Args)
		}
	}
	if !owned {
		bad("azptend is not copied into it")
	}
	// It must be a number, because Kubernetes' runAsNonRoot cannot check a name.
	if id, _, _ := strings.Cut(last["USER"].Args, ":"); id == "" || strings.Trim(id, "0123456789") != "" || strings.Trim(id, "0") == "" {
		bad("the user is %q, which is not the number of one that is not root", last["USER"].Args)
	}
	switch entry, is := last["ENTRYPOINT"]; {
	case !is:
		bad("there is no ENTRYPOINT")
	case entry.List == nil:
		bad("ENTRYPOINT is not in exec form: a shell would be PID 1")
	case filepath.Base(entry.List[0]) != "azptend":
		bad("ENTRYPOINT is not azptend: %s", entry.Args)
	}
	runs := slices.Contains(last["ENTRYPOINT"].List, "run")
	switch health := last["HEALTHCHECK"]; {
	case runs && !slices.Equal(health.List, []string{"azptend", "healthcheck"}):
		bad("HEALTHCHECK is not azptend healthcheck, in exec form and without --ready: %s", health.Args)
	case !runs && health.Args != "NONE":
		bad("HEALTHCHECK is not NONE where no agent runs: %s", health.Args)
	}
}

// setsMode reports whether a stage ends the build of azptend with its mode.
func setsMode(stages []dockerfile.Stage, name string) bool {
	return slices.ContainsFunc(stages, func(s dockerfile.Stage) bool {
		return s.Name == name && slices.ContainsFunc(s.Instructions, func(in dockerfile.Instruction) bool {
			return in.Word == "RUN" && strings.HasSuffix(in.Args, " && chmod 0711 /azptend")
		})
	})
}

// judgeInstall checks that the agent's version and checksum are build arguments.
func judgeInstall(image dockerfile.Stage, bad func(string, ...any)) {
	args := map[string]bool{}
	for _, in := range image.Instructions {
		if in.Word == "ARG" {
			name, _, hasDefault := strings.Cut(in.Args, "=")
			args[name] = true
			if hasDefault && strings.HasPrefix(name, "AGENT_") {
				bad("ARG %s has a default", name)
			}
		}
		if in.Word != "RUN" || !strings.Contains(in.Args, "azptend install") {
			continue
		}
		for flag, name := range map[string]string{"--agent-version": "AGENT_VERSION", "--agent-sha256": "AGENT_SHA256"} {
			if !args[name] || !strings.Contains(in.Args, flag+` "$`+name+`"`) {
				bad("azptend install has no %s from ARG %s", flag, name)
			}
		}
	}
}
