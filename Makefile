# What can be done here. `make tools` comes first: it builds what the tests need, once.
#
#   make tools [TOOLS=nats|kubernetes|node|helm|link|all]   programs for tests and trials, into .tools/
#   make test-worker test-operator test-cluster             the suites that need something real
#   make test-cluster CLUSTER_KUBECONFIG=…                  … on a cluster that is already there
#   make cluster / make cluster-down                        a node to play with
#   make image [PROFILE=dev]                                the container image as an OCI archive

TOOLS ?= all
PROFILE ?= release
export PROFILE

CARGO_TARGET_DIR ?= target
CLUSTER := $(CARGO_TARGET_DIR)/debug/ropeway-test-cluster

.PHONY: tools test-worker test-operator test-cluster cluster cluster-down image

tools:
	@scripts/tools.sh $(TOOLS)

test-worker:
	@scripts/tools.sh link nats
	cargo test --package ropeway-tests --test worker

test-operator:
	@scripts/tools.sh link nats kubernetes
	cargo test --package ropeway-tests --test operator

ifdef CLUSTER_KUBECONFIG
export CLUSTER_KUBECONFIG := $(abspath $(CLUSTER_KUBECONFIG))
test-cluster:
	@scripts/tools.sh link image kubernetes
	cargo test --package ropeway-tests --test cluster -- --skip leftovers
else
test-cluster:
	@scripts/tools.sh link nats node helm
	cargo test --package ropeway-tests --test cluster
endif

cluster:
	@scripts/tools.sh link node
	@cargo build --quiet --package ropeway-tests --bin ropeway-test-cluster
	@$(CLUSTER) up

cluster-down:
	@cargo build --quiet --package ropeway-tests --bin ropeway-test-cluster
	@$(CLUSTER) down

image:
	@scripts/image.sh
