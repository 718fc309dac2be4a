# Everything there is to do here. To build takes Go and nothing else; the tests also need
# root, iproute2, nsenter, a C compiler, Java and apt for the rest (see CONTRIBUTING.md). All
# other tools and test servers are pinned by the modules under scripts/ and built from the
# module proxy.
SHELL   := /usr/bin/env bash -euo pipefail
PLUGINS := $(notdir $(wildcard cmd/holdfast-storage-*))
TOOLS   := $(CURDIR)/.tools/bin
# Packages with benchmarks of their own, besides the table in test/bench.
MICRO    = $(sort $(dir $(shell grep -rl --include='*_test.go' '^func Benchmark' ./host ./sdk ./plugins)))

.PHONY: build run servers test test-full chaos check lint vet generate generate-check tidy-check bench bench-failover tools-lint tools-proto clean

build: ## bin/holdfast and bin/plugins/
	go build -trimpath -o bin/holdfast ./cmd/holdfast
	$(foreach p,$(PLUGINS),go build -trimpath -o bin/plugins/$(p) ./cmd/$(p) &&) true

run: build ## the dev server: in memory, unsealed, KV v2 at secret/
	bin/holdfast server -dev

servers: ## the real storage servers, under .servers/
	@scripts/servers/install

# The tests of the whole system start a dozen processes each: one package at a time, so
# that they measure Holdfast and not each other. The contract of an example is tested on its
# finished program, in test/examples.
test: servers ## all tests, on the real servers
	status=0; \
	go test -race -p 2 -timeout 20m $$(go list ./... | grep -v /holdfast/test/) || status=$$?; \
	go test -race -tags faultclock ./host/clock || status=$$?; \
	go test -race -p 1 -timeout 40m ./test/... || status=$$?; \
	(cd examples/postgres && go test -race -skip '^TestContract$$' .) || status=$$?; \
	exit $$status

test-full: test chaos ## the long ones too
	go test ./host/ha -run '^TestSimulation$$' -seeds 200000 -first 1000000 -timeout 0 -v

# make chaos DURATION=1h STORE=etcd SEED=7; make chaos STEPDOWNS=1000
DURATION := 1h
chaos: servers ## real processes under faults: DURATION on all stores at once, or on one STORE; or STEPDOWNS step-downs under load
	mkdir -p .artifacts
	CHAOS_DURATION=$(DURATION) CHAOS_STORE=$(STORE) CHAOS_SEED=$(SEED) CHAOS_STEPDOWNS=$(STEPDOWNS) \
	go test -count 1 -timeout 0 -v -artifacts -outputdir $(CURDIR)/.artifacts -run '$(if $(STEPDOWNS),StepDowns,Chaos|WrongClocks)' ./test/chaos

check: lint vet generate-check tidy-check test ## exactly what CI runs; the tests come last

lint: tools-lint tools-proto
	$(TOOLS)/golangci-lint run ./...
	$(TOOLS)/buf lint sdk/proto
	$(TOOLS)/buf breaking sdk/proto --against sdk/proto/v1.binpb

vet:
	go vet ./...
	go vet -tags faultclock,holdfast_previous,template_ha ./...
	cd examples/postgres && go vet ./... && test -z "$$(gofmt -l . | tee /dev/stderr)"

generate: tools-proto ## Go code from the .proto files, docs/plugins/ from the plugins
	PATH="$(TOOLS):$$PATH" buf generate
	scripts/generate-docs .

generate-check: tools-proto ## what is generated is what its sources say
	@scripts/generate-check

tidy-check:
	go mod tidy -diff
	cd examples/postgres && go mod tidy -diff

bench: servers ## how fast it is, against the store itself; then the smallest parts alone
	go test -run '^$$' -bench . -benchtime 3x ./test/bench
	go test -run '^$$' -bench . -benchmem $(MICRO)

# make bench-failover TRIES=200x ROWS=etcd/step-down
TRIES := 20x
ROWS  := .
bench-failover: servers ## for how long writes stop when something is lost, on each store
	go test -run '^$$' -bench 'Failover/$(ROWS)' -benchtime $(TRIES) -timeout 0 ./test/bench/failover

tools-lint:
	@scripts/tools/install lint

tools-proto:
	@scripts/tools/install proto

clean: ## removes what was built here, not the servers and tools
	rm -rf bin .artifacts
