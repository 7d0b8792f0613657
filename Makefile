# SPDX-License-Identifier: Apache-2.0
# The targets are promised to users: see docs/ before renaming one.

VERSION       := $(shell git describe --always --dirty 2>/dev/null || echo dev)
CHAOS_MINUTES ?= 5

# The version comes from -ldflags; stamping by the go command would fail in a
# clone that belongs to another user. Tests that build the binary inherit this.
export GOFLAGS := -buildvcs=false $(GOFLAGS)

tool         = go tool -modfile=deploy/tools/$(1)/go.mod $(1)
withservices = deploy/tools/withservices.sh
# SQLite and its libc are C, translated to Go. The race detector finds nothing of
# ours in them, and looking there took most of the time of all tests.
unraced      = -race=false -d=checkptr=0
race         = -race -gcflags='modernc.org/sqlite/lib=$(unraced)' -gcflags='modernc.org/libc/...=$(unraced)'
vendored     = gateway/portal/static/vendor/bootstrap-italia.min.css

.PHONY: run test build chaos bench check assets generate testdeps fmt vet rules
.DEFAULT_GOAL := build

## run: build and start the demo in the foreground
run: build
	exec bin/nodogate demo

## build: bin/nodogate, static
build: assets
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/nodogate ./cmd/nodogate

## test: everything that proves the software; installs what it lacks
test: testdeps assets fmt vet rules
	NODOGATE_TEST_STRICT=1 $(withservices) go test $(race) -shuffle=on -timeout 20m ./...

## chaos: the proofs under faults, bounded by CHAOS_MINUTES
chaos: testdeps assets
	NODOGATE_TEST_STRICT=1 NODOGATE_CHAOS_MINUTES=$(CHAOS_MINUTES) $(withservices) \
		go test -count=1 -run Chaos -timeout $$(($(CHAOS_MINUTES) + 15))m ./...

## bench: the benchmarks, the database's own limit beside them
bench: testdeps assets
	$(withservices) go test -run '^$$' -bench . -benchmem -timeout 60m ./...

## check: format, vet, linters, import rules, generated code, known vulnerabilities
check: assets fmt vet rules
	go test ./deploy/rules
	deploy/tools/generate.sh --check
	@# What a generator writes is not ours to mend.
	@found=$$($(call tool,staticcheck) ./... | grep -v '\.gen\.go:'); test -z "$$found" || { echo "$$found"; exit 1; }
	$(call tool,golangci-lint) run ./...
	deploy/tools/vulncheck.sh

## assets: Bootstrap Italia for the portal, when npm is there
assets: $(vendored)

# A failed or missing npm leaves no target behind, and does not stop the build:
# the portal then wears its own small style.
# What pages do not use is left out: made anew when they change.
$(vendored): gateway/portal/assets/package-lock.json gateway/portal/assets/subset.mjs deploy/tools/assets.sh \
		$(wildcard gateway/portal/templates/*.html gateway/portal/words/*.txt gateway/portal/static/*.js gateway/portal/static/app.css)
	deploy/tools/assets.sh

## generate: Go code from the OpenAPI description
generate:
	deploy/tools/generate.sh

testdeps:
	deploy/tools/testdeps.sh

fmt:
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || \
		{ echo "not gofmt'ed (gofmt -w <file>):"; echo "$$unformatted"; exit 1; }

vet:
	go vet ./...

rules:
	@if command -v promtool >/dev/null; then \
		promtool check config deploy/prometheus/prometheus.yml && \
		promtool check rules deploy/prometheus/rules.yml && \
		promtool test rules deploy/prometheus/rules_test.yml; \
	else echo "promtool is missing: the alert rules are not checked (make testdeps)"; fi
