# The README's commands do not need make.
.PHONY: demo test test-browser bench bench-hundred bench-pool bench-agents bench-keep bench-install matrix vandal vandal-faults soak scale fuzz conformance conformance-keda test-containerapps test-helm test-kubernetes test-node build build-all lint lint-docs test-engine test-vm lint-images lint-workflows vulnerabilities release-check release release-notes chart notices promtool

GOFLAGS_RELEASE := -trimpath -ldflags=-s\ -w
# The maximum size of a stripped binary: azptend must add little to an image.
MAX_BYTES := 15000000

demo: ## an agent from start to end on this machine
	go run ./cmd/azptend-lab demo

test: ## all tests except the slow ones
	test/run

# CHROMIUM=… uses another program than Debian's chromium. SCREENSHOTS=… is the folder for screenshots.
SCREENSHOTS := bin/screenshots

test-browser: ## the keeper's page in a real browser, which is installed if it is missing; about four minutes
	@command -v $${CHROMIUM:-chromium} >/dev/null 2>&1 || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }
	cd test/external/browser && go test -count=1 -timeout 20m . -screenshots $(abspath $(SCREENSHOTS))

bench: build ## times, memory and size against the emulator, into docs/performance.md
	go run ./test/sim/bench -binary bin/azptend -o docs/performance.md

matrix: build ## every cell of the kill matrix, and a pairwise set of the other listener, some ten minutes on two cores, into docs/reliability.md
	go run ./test/sim/matrix -binary bin/azptend -o docs/reliability.md

# LOGS=DIR keeps azptend's logs of the cells that fail.
vandal: build ## jobs that attack availability, into docs/reliability.md; some ten minutes on two cores, as root
	go build -o bin/vandal ./test/security/vandal
	bin/vandal -binary bin/azptend -o docs/reliability.md $(if $(LOGS),-logs $(LOGS))

vandal-faults: build ## azptend without one of its guards at a time: the vandal must detect each
	go build -o bin/vandal ./test/security/vandal
	bin/vandal -faults

bench-hundred: build ## a hundred agents at once against a rate limit, into docs/reliability.md; a quarter of an hour
	go run ./test/sim/bench -what hundred -binary bin/azptend -o docs/reliability.md
bench-agents: build ## fifty agents on one machine, into docs/performance.md
	go run ./test/sim/bench -binary bin/azptend -what agents -o docs/performance.md
bench-pool: build ## pruning pools of up to 10,000 agents, into the same page
	go run ./test/sim/bench -binary bin/azptend -what pool -o docs/performance.md
bench-install: build ## azptend install against curl | tar, and roots, into the same page; ten minutes, 25 GB of disk, 1 GB of /dev/shm; as root with xfsprogs for reflinks
	go run ./test/sim/bench -binary bin/azptend -what install -o docs/performance.md
bench-keep: build ## a keeper of such pools, into the same page
	go run ./test/sim/bench -binary bin/azptend -what keep -o docs/performance.md

# SEED=… repeats the same faults.
RUNS := 1000
SEED := 0

soak: build ## a thousand runs of an agent with random faults, into docs/reliability.md; about 15 minutes
	go run ./test/sim/soak -binary bin/azptend -runs $(RUNS) -seed $(SEED) -o docs/reliability.md

scale: build ## how many agents one organisation can run, by simulation, into docs/scale.md and its pictures; two minutes
	go run ./test/sim/scale -binary bin/azptend -o docs/scale.md

# go test runs their seeds. FUZZTIME=5m makes it longer.
FUZZTIME := 30s

fuzz: ## each fuzz target, for half a minute
	@for p in $$(go list ./internal/...); do \
		targets=$$(go test -list '^Fuzz' $$p) || { echo "$$targets"; exit 1; }; \
		for t in $$(echo "$$targets" | grep '^Fuzz'); do \
			echo "== $$t in $$p"; go test $$p -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) || exit 1; \
		done; \
	done

conformance: ## Microsoft's clients for Go and Node against the emulator; needs node and npm
	cd test/external/conformance/go && go mod tidy -diff && go vet ./... && go test -count=1 ./...
	cd test/external/conformance/node && npm ci --ignore-scripts --no-audit --no-fund --silent && npm test

test-containerapps: ## deploy/container-apps against Microsoft's types, and the Terraform of docs/container-apps.md; needs node and npm
	cd test/external/containerapps && npm ci --ignore-scripts --no-audit --no-fund --silent && npm test
	cd test/external/terraform && go mod tidy -diff && go vet ./... && go test -count=1 ./...

# KEDA and its imports are 3000 packages: ten minutes the first time, seconds with Go's cache. Without cgo, because that
# needs a C compiler.
conformance-keda: ## KEDA's own azure-pipelines scaler against the emulator
	cd test/external/conformance/keda && CGO_ENABLED=0 go test -count=1 .

# Uses Helm as a library, and schemas from Go's module proxy. It installs nothing and needs no cluster.
test-helm: ## the chart: golden files, refused values, Helm's linter, schemas of Kubernetes and of each KEDA version
	cd test/external/helm && go mod tidy -diff && go vet ./... && CGO_ENABLED=0 go test -count=1 ./...

# What the suites build stays outside of the tree, so that a second run starts at once.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/azptend

# The programs of Kubernetes and KEDA stay in KUBERNETES_CACHE. The logs are in bin/kubernetes.
KUBERNETES_CACHE := $(CACHE)/kubernetes

test-kubernetes: ## the chart on a real control plane with KEDA's operator, measured into docs/kubernetes.md; needs root and Debian's packages
	test/external/kubernetes/build $(KUBERNETES_CACHE)
	rm -rf bin/kubernetes && mkdir -p bin/kubernetes
	cd test/external/kubernetes && export CGO_ENABLED=0 && go mod tidy -diff && go vet ./... && go test -count=1 -timeout 40m -v . \
		-bin $(abspath $(KUBERNETES_CACHE)) -logs $(abspath bin/kubernetes) -page $(abspath docs/kubernetes.md)

# The images are those of test-engine. The logs are in bin/node.
test-node: build ## the chart on a real node with kubelet, containerd, runc and CNI, into docs/kubernetes.md; needs root, installs Debian's packages
	go build -o bin/test-engine ./test/external/engine
	bin/test-engine -cache $(ENGINE_CACHE) -logs bin/node-images -scenes '^$$' -engines podman
	test/external/kubernetes/build $(KUBERNETES_CACHE)
	test/external/kubernetes/images/save $(ENGINE_CACHE) $(KUBERNETES_CACHE)/images
	rm -rf bin/node && mkdir -p bin/node
	cd test/external/kubernetes && export CGO_ENABLED=0 && go mod tidy -diff && go vet ./... && go test -count=1 -timeout 40m -v . \
		-bin $(abspath $(KUBERNETES_CACHE)) -images $(abspath $(KUBERNETES_CACHE)/images/images.tar) -logs $(abspath bin/node) -page $(abspath docs/kubernetes.md)

# Images, layers and downloads stay in ENGINE_CACHE. SCENES='stop|kill' plays some of the scenes, ENGINES=podman
# uses one engine, FRESH=1 builds without cached layers. Logs of builds and scenes are in bin/engine.
ENGINE_CACHE := $(CACHE)/engine
SCENES :=
ENGINES := podman,docker

test-engine: build ## the images by Podman and Docker, and scenes of a container's life; needs root, installs Debian's packages
	go build -o bin/test-engine ./test/external/engine
	bin/test-engine -cache $(ENGINE_CACHE) -logs bin/engine -scenes '$(SCENES)' -engines $(ENGINES) $(if $(FRESH),-fresh)

# BASE=DIR keeps the result of debootstrap, and uses it the next time.
test-vm: ## docs/vm.md's cloud-config and unit under a real systemd, in a machine of systemd-nspawn; needs root, debootstrap and systemd-container
	test/external/vm/needs
	$(MAKE) build
	go run ./test/external/vm -binary bin/azptend $(if $(BASE),-base $(BASE))

# vale needs a C compiler. It is built once, into bin/, with its own modules.
lint-docs: bin/vale ## README and docs by the rules in docs/style
	$< --no-wrap --output=line README.md CONTRIBUTING.md SECURITY.md docs

bin/vale: tools/vale/go.mod
	cd tools/vale && CGO_ENABLED=1 go build -o $(abspath bin)/vale github.com/vale-cli/vale/v3/cmd/vale

lint-images: ## a public linter for Dockerfiles; needs npm
	for f in deploy/images/*.Dockerfile; do npx --yes dockerfilelint@1.8.0 $$f || exit 1; done

# The tools of a release are built once, into bin/, with their own modules. They may need a newer Go than azptend.
RELEASE_TOOLS := bin/goreleaser bin/syft bin/go-licenses bin/helm

bin/goreleaser: tools/release/go.mod
	cd tools/release && GOTOOLCHAIN=auto CGO_ENABLED=0 go build -o $(abspath $@) github.com/goreleaser/goreleaser/v2
bin/syft: tools/release/go.mod
	cd tools/release && GOTOOLCHAIN=auto CGO_ENABLED=0 go build -o $(abspath $@) github.com/anchore/syft/cmd/syft
bin/go-licenses: tools/release/go.mod
	cd tools/release && GOTOOLCHAIN=auto CGO_ENABLED=0 go build -o $(abspath $@) github.com/google/go-licenses/v2
bin/helm: tools/helm/go.mod
	cd tools/helm && GOTOOLCHAIN=auto CGO_ENABLED=0 go build -o $(abspath $@) helm.sh/helm/v4/cmd/helm

# azptend is built with the Go that go.mod's toolchain names, and with its commit.
RELEASE_ENV := GOTOOLCHAIN=auto GOFLAGS= PATH=$(abspath bin):$$PATH

# It needs a clean work tree. VERSION is the chart's here; what goreleaser makes has the commit for a version.
release-check: build $(RELEASE_TOOLS) ## all of a release that needs no registry, and its packages installed in containers; needs root
	go test -count=1 ./test/repository -run 'TestSupport|TestRelease|TestWorkflow|TestNotices' -today $$(date --utc +%F)
	tools/release/notices | diff THIRD_PARTY_NOTICES -
	$(RELEASE_ENV) goreleaser check
	$(RELEASE_ENV) goreleaser release --snapshot --clean --skip=sign
	$(MAKE) chart VERSION=0.0.0-check
	go build -o bin/test-engine ./test/external/engine
	bin/test-engine -cache $(ENGINE_CACHE) -logs bin/engine-release -engines podman -release dist

# .github/workflows/release.yml calls these, with a tag checked out.
release: $(RELEASE_TOOLS) ## archives, packages, sums, bills of materials and signatures, uploaded to a draft; needs GITHUB_TOKEN and cosign
	$(RELEASE_ENV) goreleaser release --clean --release-notes bin/release-notes.md

release-notes: ## the section of VERSION in CHANGELOG.md, with links to that version's pages, into bin/release-notes.md
	@mkdir -p bin
	@awk -v version='$(VERSION)' '/^## / { on = ($$2 == version) } on && !/^## /' CHANGELOG.md | \
		sed 's|](docs/|](https://github.com/azptend/azptend/blob/v$(VERSION)/docs/|g' >bin/release-notes.md
	@[ -n "$(VERSION)" ] && grep -q . bin/release-notes.md || { echo "CHANGELOG.md has no section ## $(VERSION)"; exit 1; }

chart: bin/helm ## the chart as a package of VERSION, in bin/chart
	rm -rf bin/chart
	bin/helm package deploy/helm/azptend --version $(VERSION) --app-version $(VERSION) --destination bin/chart

notices: bin/go-licenses ## THIRD_PARTY_NOTICES
	tools/release/notices >THIRD_PARTY_NOTICES

# Prometheus' own parser, from Debian's package, which is not installed.
promtool: bin/promtool ## the alert rules by Prometheus' own parser; needs Debian's packages
	PATH=$(abspath bin):$$PATH go test -count=1 ./test/repository -run 'TestAlertRules'

bin/promtool:
	mkdir -p bin/prometheus && cd bin/prometheus && apt-get download -qq prometheus && dpkg -x prometheus_*.deb . && \
		mv usr/bin/promtool ../promtool
	rm -r bin/prometheus

build: ## bin/azptend and bin/azptend-lab for this machine, static
	CGO_ENABLED=0 go build $(GOFLAGS_RELEASE) -o bin/ ./cmd/azptend ./cmd/azptend-lab

build-all: dist/azptend-linux-amd64 dist/azptend-linux-arm64 ## the released binaries, checked for size

dist/azptend-linux-%: FORCE
	@CGO_ENABLED=0 GOOS=linux GOARCH=$* go build $(GOFLAGS_RELEASE) -o $@ ./cmd/azptend
	@size=$$(wc -c < $@); echo "$@: $$size bytes"; \
	if [ $$size -gt $(MAX_BYTES) ]; then echo "over $(MAX_BYTES) bytes; linked in:"; go version -m $@ | grep -E '^\s+dep'; exit 1; fi
	@if [ "$*" = amd64 ]; then echo "linked in:"; go version -m $@ | awk '$$1=="dep" {print "  " $$2, $$3}'; fi

# golangci-lint takes a minute to build the first time.
lint: ## gofmt, vet for Linux and macOS, a build for Windows, and the linters of .golangci.yml
	@unformatted=$$(git ls-files '*.go' | xargs gofmt -l); [ -z "$$unformatted" ] || { echo "not gofmt'ed: $$unformatted"; exit 1; }
	go vet ./...
	GOOS=darwin go vet ./internal/... ./cmd/...
	GOOS=windows go build -o /dev/null ./cmd/azptend # without the commands that run an agent
	go tool -modfile=tools/go.mod golangci-lint run ./...

lint-workflows: ## .github/workflows with actionlint, and their scripts with shellcheck if it is installed
	go tool -modfile=tools/actionlint/go.mod actionlint

vulnerabilities: ## known vulnerabilities in what azptend calls; needs vuln.go.dev
	go tool -modfile=tools/go.mod govulncheck ./...

FORCE:
