# What can be done here; .ci/run calls `make check` and `make test`.
#
#   make demo                        the product's main job on real input, without a cluster
#   make test                        all tests; test-unit, test-worker, test-operator, test-charts, test-cluster one by one
#   make check                       format, lints, licences, generated files
#   make cluster / cluster-down      a real node with the product on it, to play with
#   make image [PROFILE=dev]         the container image as an OCI archive, and image-nats for the trial's NATS
#   make tools [TOOLS=nats|kubernetes|node|helm|signers|oidc|azure|vendors|link|deny|fuzz|all]   programs for all of that, into .tools/
#   make fuzz [TARGET=… SECONDS=600] feeds made-up input to the parsers on the ways in (fuzz/README.md); needs nightly Rust
#   make crds                        the CRDs from the types in crds/src
#   make bench / bench-quick         measures the worker against a bare loop and peers (docs/benchmarks.md)
#   make test-cluster CLUSTER_KUBECONFIG=…   the cluster suite on a cluster that is already there

TOOLS ?= all
PROFILE ?= release

CARGO_TARGET_DIR ?= target
CLUSTER := $(CARGO_TARGET_DIR)/debug/ropeway-test-cluster
EXAMPLE := examples/signups-to-marketing

.PHONY: demo test test-unit test-worker test-operator test-charts test-cluster check advisories crds tools cluster cluster-down \
  fuzz image image-nats bench bench-quick bench-programs

demo:
	@scripts/tools.sh link nats
	@cargo build --quiet --package ropeway-cli
	@PATH="$(CURDIR)/.tools:$$PATH" $(CARGO_TARGET_DIR)/debug/ropeway dev $(EXAMPLE) --fresh --data $(CARGO_TARGET_DIR)/demo \
	  --sink --sink-script $(EXAMPLE)/demo/sink.yaml --send $(EXAMPLE)/demo/registrations.ndjson \
	  --json $(CARGO_TARGET_DIR)/demo.json --listen 127.0.0.1:0

test: test-unit test-worker test-operator test-charts test-cluster

test-unit:
	@scripts/tools.sh link
	cargo test --workspace --exclude ropeway-tests --exclude ropeway-bench
	cargo test --package ropeway-tests --lib --test repo

test-worker:
	@scripts/tools.sh link nats signers oidc azure vendors
	cargo test --package ropeway-tests --test worker

test-operator:
	@scripts/tools.sh link nats kubernetes oidc
	cargo test --package ropeway-tests --test operator

ifdef CLUSTER_KUBECONFIG
export CLUSTER_KUBECONFIG := $(abspath $(CLUSTER_KUBECONFIG))
test-cluster:
	@scripts/tools.sh link image nats kubernetes helm
	cargo test --package ropeway-tests --test cluster -- --skip leftovers
else
test-cluster:
	@scripts/tools.sh link nats node helm
	cargo test --package ropeway-tests --test cluster
endif

test-charts:
	@scripts/tools.sh link helm
	cargo test --package ropeway-tests --test charts

check:
	@scripts/tools.sh link deny
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- --deny warnings
	.tools/bin/cargo-deny --locked check licenses bans sources
	cargo test --quiet --package ropeway-crds --lib definition

# Known vulnerabilities; the database is fetched.
advisories:
	@scripts/tools.sh deny
	.tools/bin/cargo-deny --locked check advisories

# One target, or all of them one after the other.
SECONDS ?= 600
fuzz:
	@scripts/tools.sh link fuzz
	@scripts/fuzz.sh $(SECONDS) $(TARGET)

tools:
	@scripts/tools.sh $(TOOLS)

cluster:
	@scripts/tools.sh link nats node helm
	@cargo build --quiet --package ropeway-tests --bin ropeway-test-cluster
	@$(CLUSTER) up

cluster-down:
	@cargo build --quiet --package ropeway-tests --bin ropeway-test-cluster
	@$(CLUSTER) down

image:
	@PROFILE=$(PROFILE) scripts/image.sh ropeway

image-nats:
	@PROFILE=$(PROFILE) scripts/image.sh nats

crds:
	cargo run --quiet --package ropeway-crds --bin crdgen crds/yaml
	rm -f charts/ropeway/crds-files/*.yaml
	cp crds/yaml/*.yaml charts/ropeway/crds-files/

# The conductor takes the core that the measured program does not have.
BENCH := taskset --cpu-list 1 $(CARGO_TARGET_DIR)/measured/ropeway-bench run --worker $(CARGO_TARGET_DIR)/measured/ropeway-worker

bench: bench-programs
	$(BENCH)

# Whether everything still runs; its figures mean nothing and are not kept.
bench-quick: bench-programs
	$(BENCH) --pairs 1 --events 10000 --lanes 100 --seconds 5 --out $(CARGO_TARGET_DIR)/bench-quick.json

bench-programs:
	@scripts/tools.sh link nats
	cargo build --profile measured --package ropeway-worker --package ropeway-bench
	cd bench/peers/node && npm ci --no-audit --no-fund --loglevel error
	cd bench/peers/go && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o peer .
