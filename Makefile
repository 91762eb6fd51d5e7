# `make help` explains each target.

GO ?= go
CORPUS ?=
FUZZTIME ?= 20000x
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2
# The modules of the repository: the project, and what tests it with dependencies of its own.
MODULES = . test/api test/oracle test/peers test/thirdparty
EACH_MODULE = set -e; for m in $(MODULES); do echo "module $$m"; (cd $$m && $(1)) || exit 1; done
FUZZ_PACKAGES = $(shell grep -rl --include=*_test.go '^func Fuzz' . | xargs -n1 dirname | sort -u)

.DEFAULT_GOAL := help
.PHONY: help build package run deps test check lint format vet staticcheck golangci modules race corpus interop bench fuzz mutate oracle
# Packages that start goroutines, or share memory between them.
CONCURRENT = ^\s*go (func\b|[A-Za-z_][A-Za-z_.]*\()|"sync"|"sync/atomic"
RACE_PACKAGES = $(addprefix ./,$(shell git grep -lP '$(CONCURRENT)' -- '*.go' ':!*_test.go' ':!test' | xargs -n1 dirname | sort -u))
ORACLE_INPUTS ?= 100000
# What `make deps` installs must not be missing from the tests.
REQUIRE = PROBITY_REQUIRE_SWTPM=1 PROBITY_REQUIRE_POSTGRES=1 PROBITY_REQUIRE_CRYPTSETUP=1

help: ## show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the command, static, into dist/
	CGO_ENABLED=0 $(GO) build -trimpath -o dist/probity ./cmd/probity
	@dist/probity version

package: build ## make a Debian package of the command and its systemd units in dist/
	sh deploy/package.sh dist

run: ## start the demonstration: a service, simulated evidence, a token
	$(GO) run ./cmd/probity demo

deps: ## install what the tests need: Node, Python and Maven packages, step-ca, Debian packages where root
	sh test/deps.sh

test: deps ## install what the tests need and run all of them, real clients included; with CORPUS=folder its evidence too
	$(REQUIRE) $(GO) test ./...
	CGO_ENABLED=1 $(GO) test -tags pkcs11 ./internal/keys/hsm ./internal/vault/pkcs11 ./internal/node ./test/e2e -run 'Token|PKCS11'
	@# The clients' traffic is recorded, and the OpenAPI documents are checked against it.
	traffic=$$(mktemp -d) && trap 'rm -rf "$$traffic"' EXIT && export PROBITY_TRAFFIC="$$traffic" && \
	  $(REQUIRE) PROBITY_CORPUS="$(abspath $(CORPUS))" $(GO) test -tags interop ./test/interop && \
	  (cd test/thirdparty && $(GO) test .) && cd test/api && $(GO) test -count=1 -v .
	cd test/oracle && PROBITY_CORPUS="$(abspath $(CORPUS))" $(GO) test .
	$(if $(CORPUS),$(GO) run ./test/corpus "$(CORPUS)")

check: lint modules race fuzz ## all checks beside the tests: lint, modules, race, fuzz

lint: format vet staticcheck golangci ## format, vet, staticcheck and golangci-lint, in every module

format: ## the format of gofmt
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w on these"; exit 1; }

vet: ## go vet, with each build tag
	@$(call EACH_MODULE,$(GO) vet ./...)
	$(GO) vet -tags interop ./test/interop
	CGO_ENABLED=1 $(GO) vet -tags pkcs11 ./internal/keys/... ./internal/vault/... ./internal/node ./test/e2e

staticcheck: ## staticcheck
	@$(call EACH_MODULE,$(GO) run $(STATICCHECK) ./...)

golangci: ## golangci-lint: the rules of .golangci.yml
	@$(call EACH_MODULE,CGO_ENABLED=1 $(GO) run $(GOLANGCI) run ./...)

modules: ## go.mod and go.sum are tidy, and the modules are what go.sum says
	@$(call EACH_MODULE,$(GO) mod tidy -diff && $(GO) mod verify)

race: ## the race detector, on the packages that start goroutines or share memory
	CGO_ENABLED=1 $(GO) test -race $(RACE_PACKAGES)

fuzz: ## run each fuzz target, FUZZTIME inputs each (20000x)
	@set -e; for p in $(FUZZ_PACKAGES); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$p/*_test.go | cut -d' ' -f2); do \
	    echo "fuzz $$p $$f"; out=$$($(GO) test $$p -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) 2>&1) || { echo "$$out"; exit 1; }; done; done

mutate: ## change every byte of one item of every kind, and show what is still accepted
	@out=$$(mktemp); $(GO) test ./test/mutate -count=1 -v -run TestAnyChangedByteIsNoticed -args -stride 1 > $$out; status=$$?; \
	  grep -v '^ *\(=== \|--- PASS\)' $$out; rm -f $$out; exit $$status

corpus: ## check recorded evidence against its manifests: make corpus CORPUS=folder
	@test -n "$(CORPUS)" || { echo "name the folder with the manifests: make corpus CORPUS=folder"; exit 2; }
	@$(GO) run ./test/corpus "$(CORPUS)"

interop: deps ## run Microsoft's clients, relying parties and tpm2-tools against the service
	$(REQUIRE) PROBITY_CORPUS="$(abspath $(CORPUS))" $(GO) test -tags interop -count=1 -v ./test/interop
	cd test/thirdparty && $(GO) test -count=1 -v .

oracle: ## compare the verifiers with Google's over ORACLE_INPUTS (100000) altered inputs
	cd test/oracle && ORACLE_INPUTS=$(ORACLE_INPUTS) PROBITY_CORPUS="$(abspath $(CORPUS))" $(GO) test -count=1 -timeout 30m -v .

bench: ## measure against the floor and against peers, in the same run
	@$(GO) run ./test/bench
	@cd test/peers && PROBITY_CORPUS="$(abspath $(CORPUS))" $(GO) run . $(if $(CORPUS),$(shell ls -S "$(abspath $(CORPUS))"/policies/*.policy | head -n 1))
