# `make help` explains each target.

GO ?= go
CORPUS ?=
FUZZTIME ?= 20000x
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZ_PACKAGES = $(shell grep -rl --include=*_test.go '^func Fuzz' . | xargs -n1 dirname | sort -u)

.DEFAULT_GOAL := help
.PHONY: help build package run deps test check corpus interop bench fuzz mutate oracle
ORACLE_INPUTS ?= 100000
# What `make deps` installs must not be missing from the tests.
REQUIRE = PROBITY_REQUIRE_SWTPM=1 PROBITY_REQUIRE_POSTGRES=1

help: ## show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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
	CGO_ENABLED=1 $(GO) test -tags pkcs11 ./internal/keys/hsm ./test/e2e -run 'Token|PKCS11'
	@# The clients' traffic is recorded, and the OpenAPI documents are checked against it.
	traffic=$$(mktemp -d) && trap 'rm -rf "$$traffic"' EXIT && export PROBITY_TRAFFIC="$$traffic" && \
	  $(REQUIRE) PROBITY_CORPUS="$(abspath $(CORPUS))" $(GO) test -tags interop ./test/interop && \
	  (cd test/thirdparty && $(GO) test .) && cd test/api && $(GO) test -count=1 -v .
	cd test/oracle && PROBITY_CORPUS="$(abspath $(CORPUS))" $(GO) test .
	$(if $(CORPUS),$(GO) run ./test/corpus "$(CORPUS)")

check: ## format, vet, staticcheck, module hygiene, race detector, short fuzzing
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w on these"; exit 1; }
	$(GO) vet ./... && $(GO) vet -tags interop ./test/interop && CGO_ENABLED=1 $(GO) vet -tags pkcs11 ./internal/keys/... ./test/e2e && for m in test/api test/thirdparty test/oracle test/peers; do (cd $$m && $(GO) vet ./... && $(GO) mod tidy -diff) || exit 1; done
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	$(GO) mod verify
	$(GO) test -race ./...
	$(MAKE) fuzz

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
