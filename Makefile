# Nothing here is needed to use the README's two commands.
.PHONY: demo test bench fuzz build build-all lint

GOFLAGS_RELEASE := -trimpath -ldflags=-s\ -w
# The most a stripped binary may weigh: an entrypoint should not be felt in an image.
MAX_BYTES := 15000000

demo: ## the life of an agent on this machine
	go run ./cmd/azptend demo

test: ## all tests but the slow ones
	test/run

bench: build ## times, memory and size against the emulator, into docs/performance.md
	go run ./test/bench -binary bin/azptend -o docs/performance.md

fuzz: ## each fuzz target for half a minute
	@for f in $$(grep -rlE '^func Fuzz' --include=*_test.go internal); do \
		for t in $$(grep -oE '^func Fuzz[A-Za-z0-9]*' $$f | cut -c6-); do \
			echo "== $$t in $$(dirname $$f)"; go test ./$$(dirname $$f) -run '^$$' -fuzz "^$$t$$" -fuzztime 30s || exit 1; \
		done; \
	done

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
