# Everything there is to do here. Needs Go and nothing else: tools and test servers
# are pinned by the modules under scripts/ and built from the module proxy.
SHELL   := /usr/bin/env bash -euo pipefail
PLUGINS := $(notdir $(wildcard cmd/holdfast-storage-*))
TOOLS   := $(CURDIR)/.tools/bin
# Packages with benchmarks of their own, besides the table in test/bench.
MICRO    = $(sort $(dir $(shell grep -rl --include='*_test.go' '^func Benchmark' ./host ./sdk ./plugins)))

.PHONY: build run servers test check lint vet generate generate-check tidy-check bench tools-lint tools-proto clean

build: ## bin/holdfast and bin/plugins/
	go build -trimpath -o bin/holdfast ./cmd/holdfast
	$(foreach p,$(PLUGINS),go build -trimpath -o bin/plugins/$(p) ./cmd/$(p) &&) true

run: build ## the dev server: in memory, unsealed, KV v2 at secret/
	bin/holdfast server -dev

servers: ## the real storage servers, under .servers/
	@scripts/servers/install

# The tests of the whole system start a dozen processes each: one package at a time, so
# that they measure Holdfast and not each other.
test: servers ## all tests, on the real servers
	status=0; \
	go test -race -p 2 -timeout 20m $$(go list ./... | grep -v /holdfast/test/) || status=$$?; \
	go test -race -p 1 -timeout 40m ./test/... || status=$$?; \
	exit $$status

check: lint vet generate-check tidy-check test ## exactly what CI runs; the tests come last

lint: tools-lint
	$(TOOLS)/golangci-lint run ./...

vet:
	go vet ./...

generate: tools-proto ## Go code from the .proto files
	PATH="$(TOOLS):$$PATH" buf generate

generate-check: tools-proto ## the generated code is what the .proto files say
	@scripts/generate-check

tidy-check:
	go mod tidy -diff

bench: servers ## how fast it is, against the store itself; then the smallest parts alone
	go test -run '^$$' -bench . -benchtime 3x ./test/bench
	go test -run '^$$' -bench . -benchmem $(MICRO)

tools-lint:
	@scripts/tools/install lint

tools-proto:
	@scripts/tools/install proto

clean: ## removes what was built here, not the servers and tools
	rm -rf bin
