# Nothing here is needed to use the README's two commands.
.PHONY: demo test test-browser bench bench-hundred bench-pool bench-agents bench-keep bench-install matrix soak fuzz conformance conformance-keda test-helm build build-all lint test-image lint-images release-check

GOFLAGS_RELEASE := -trimpath -ldflags=-s\ -w
# The most a stripped binary may weigh: an entrypoint should not be felt in an image.
MAX_BYTES := 15000000

demo: ## the life of an agent on this machine
	go run ./cmd/azptend demo

test: ## all tests but the slow ones
	test/run

# Debian's chromium; CHROMIUM=… is another one. SCREENSHOTS=… is a folder for what it saw.
SCREENSHOTS := bin/screenshots

test-browser: ## the keeper's page in a real browser, which is installed if there is none; some four minutes
	@command -v $${CHROMIUM:-chromium} >/dev/null 2>&1 || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }
	cd test/browser && go test -count=1 -timeout 20m . -screenshots $(abspath $(SCREENSHOTS))

bench: build ## times, memory and size against the emulator, into docs/performance.md
	go run ./test/bench -binary bin/azptend -o docs/performance.md

matrix: build ## every cell of the kill matrix, some ten minutes on two cores, into docs/reliability.md
	go run ./test/matrix -binary bin/azptend -o docs/reliability.md

bench-hundred: build ## a hundred agents at once against a rate limit, into docs/reliability.md; a quarter of an hour
	go run ./test/bench -what hundred -binary bin/azptend -o docs/reliability.md
bench-agents: build ## fifty agents on one machine, into docs/performance.md
	go run ./test/bench -binary bin/azptend -what agents -o docs/performance.md
bench-pool: build ## pruning pools of up to 10,000 agents, into the same page
	go run ./test/bench -binary bin/azptend -what pool -o docs/performance.md
bench-install: build ## azptend install against curl | tar, into the same page; it makes an archive of 600 MB first
	go run ./test/bench -binary bin/azptend -what install -o docs/performance.md
bench-keep: build ## a keeper of such pools, into the same page
	go run ./test/bench -binary bin/azptend -what keep -o docs/performance.md

# SEED=… draws the same troubles again.
LIVES := 1000
SEED := 0

soak: build ## a thousand lives with random faults, numbers into docs/reliability.md; some 15 minutes
	go run ./test/soak -binary bin/azptend -lives $(LIVES) -seed $(SEED) -o docs/reliability.md

# Their seeds run with every test. FUZZTIME=5m makes it longer.
FUZZTIME := 30s

fuzz: ## each fuzz target there is, for half a minute
	@for p in $$(go list ./internal/...); do \
		targets=$$(go test -list '^Fuzz' $$p) || { echo "$$targets"; exit 1; }; \
		for t in $$(echo "$$targets" | grep '^Fuzz'); do \
			echo "== $$t in $$p"; go test $$p -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) || exit 1; \
		done; \
	done

conformance: ## Microsoft's clients for Go and Node against the emulator; needs node and npm
	cd test/conformance/go && go mod tidy -diff && go vet ./... && go test -count=1 ./...
	cd test/conformance/node && npm ci --ignore-scripts --no-audit --no-fund --silent && npm test

# KEDA and what it imports are 3000 packages: ten minutes the first time, seconds when they are in Go's cache. Without cgo,
# so that a C compiler is not needed.
conformance-keda: ## KEDA's own azure-pipelines scaler against the emulator
	cd test/conformance/keda && CGO_ENABLED=0 go test -count=1 .

# Helm as a library, other people's schemas out of Go's module proxy; nothing is installed and no cluster is asked.
test-helm: ## the chart: golden files, what it refuses, Helm's linter, Kubernetes' and each KEDA's schemas
	cd test/helm && go mod tidy -diff && go vet ./... && CGO_ENABLED=0 go test -count=1 ./...

# BASE=DIR keeps what debootstrap made, and takes it again.
test-image: build ## the steps of the Debian image in a chroot, and an agent's life in it; needs root and debootstrap
	go run ./test/image -binary bin/azptend $(if $(BASE),-base $(BASE))

lint-images: ## other people's linter for Dockerfiles; needs npm
	for f in deploy/images/*.Dockerfile; do npx --yes dockerfilelint@1.8.0 $$f || exit 1; done

# goreleaser is none of our tools: it is fetched and built, which takes long the first time. It wants a clean work tree.
release-check: ## the release's configuration, and a snapshot of it
	go run github.com/goreleaser/goreleaser/v2@v2.15.1 check
	go run github.com/goreleaser/goreleaser/v2@v2.15.1 release --snapshot --clean

build: ## bin/azptend for this machine, static
	CGO_ENABLED=0 go build $(GOFLAGS_RELEASE) -o bin/azptend ./cmd/azptend

build-all: dist/azptend-linux-amd64 dist/azptend-linux-arm64 ## the released binaries, checked for size

dist/azptend-linux-%: FORCE
	@CGO_ENABLED=0 GOOS=linux GOARCH=$* go build $(GOFLAGS_RELEASE) -o $@ ./cmd/azptend
	@size=$$(wc -c < $@); echo "$@: $$size bytes"; \
	if [ $$size -gt $(MAX_BYTES) ]; then echo "over $(MAX_BYTES) bytes; linked in:"; go version -m $@ | grep -E '^\s+dep'; exit 1; fi
	@if [ "$*" = amd64 ]; then echo "linked in:"; go version -m $@ | awk '$$1=="dep" {print "  " $$2, $$3}'; fi

lint:
	gofmt -l . && go vet ./... && go tool -modfile=tools/go.mod staticcheck ./...

FORCE:
