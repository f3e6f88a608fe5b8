# Targets for people and for continuous integration. "make" lists them.
# Everything they fetch stays in .cache, node_modules and Go's own caches.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# scripts/deps.sh puts a newer Node here when the system's is too old.
export PATH := $(CURDIR)/.cache/node/node_modules/node/bin:$(PATH)

GO       ?= go
FUZZTIME ?= 10s
AUTO     ?=
export AUTO
MODE     ?= local
STORE    ?= sqlite
BINARY   := bin/tokenvault
LINT     := $(GO) tool -modfile=tools/go.mod golangci-lint
# SQLite is C that was translated to Go, and works on memory that the race detector does
# not see. To instrument it finds nothing, and makes it five times slower. The driver, in
# modernc.org/sqlite, is instrumented like all else.
RACE     := -race $(patsubst %,-gcflags=modernc.org/%=-race=false,sqlite/lib libc memory)
# Modules of their own: a heavy dependency there stays out of ours.
NESTED   := $(patsubst %/go.mod,%,$(wildcard e2e/providers/*/go.mod))

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  %-12s %s\n", $$1, $$2 }'

.PHONY: deps
deps: ## Install what tests and demo miss: Node packages, Chromium, Firefox, PostgreSQL (Debian)
	@scripts/deps.sh

.PHONY: build
build: ## Build bin/tokenvault: static, reproducible, no Node needed
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o $(BINARY) ./cmd/tokenvault

.PHONY: demo
demo: deps build ## Run everything on loopback; AUTO=1 clicks through by itself; MODE=local, session, verifier, assertion or signin; STORE=sqlite or postgres
	@node web/scripts/page.mjs .cache/demo-page examples/demo/page
	$(GO) run ./examples/demo --mode $(MODE) $(if $(filter postgres,$(STORE)),--postgres) $(if $(AUTO),--auto)

.PHONY: example-nextjs
example-nextjs: deps build ## Run the Next chat with the vault, an OAuth server and a bank; AUTO=1 clicks through by itself
	node examples/nextjs-chat/run.mjs

.PHONY: test
test: deps build ## Run every test: vet, race detector, nested modules, TypeScript packages, demo, the Next chat, browser rig
	$(GO) vet ./...
	$(GO) test $(RACE) -shuffle=on -timeout 20m ./...
	@for module in $(NESTED); do \
		echo "== $$module"; \
		(cd "$$module" && $(GO) vet ./... && $(GO) test -race -shuffle=on ./...); \
	done
	@cd web && npm test && npm run build && npm run pack:check
	@node web/scripts/page.mjs .cache/demo-page examples/demo/page
	$(GO) run ./examples/demo --auto
	@AUTO=1 BUILT=1 node examples/nextjs-chat/run.mjs
	@cd e2e && npm test

.PHONY: test-chaos
test-chaos: deps build ## Kill, freeze and race real servers, and fill their disk, up to 50 times each; prints CHAOS lines; takes long
	CHAOS=1 $(GO) test -count=1 -timeout 80m -tags chaos -v ./chaos

.PHONY: check
check: ## Check formatting, vet, linters, import rules and generated files
	@scripts/check.sh format
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(LINT) run
	$(GO) test -run '^TestHouse' .
	@scripts/check.sh generated
	@scripts/check.sh web

.PHONY: bench
bench: build ## Measure the hot path as ratios against its floors, on STORE (sqlite, postgres)
	$(GO) run ./bench -binary $(BINARY) -store $(STORE)

.PHONY: fuzz-short
fuzz-short: ## Fuzz every target for FUZZTIME (10s)
	@scripts/fuzz.sh $(FUZZTIME)
