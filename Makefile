# What can be done here. `make tools` comes first: it builds what the tests need, once.
#
#   make tools [TOOLS=nats|kubernetes|node|helm|link|all]   programs for tests and trials, into .tools/
#   make test-worker test-operator test-cluster             the suites that need something real
#   make test-cluster CLUSTER_KUBECONFIG=…                  … on a cluster that is already there
#   make test-charts                                        the chart, rendered
#   make cluster / make cluster-down                        a node to play with, Ropeway on it
#   make image image-nats [PROFILE=dev]                     the container images as OCI archives
#   make crds                                               the CRDs, from the types in crds/src

TOOLS ?= all
PROFILE ?= release

CARGO_TARGET_DIR ?= target
CLUSTER := $(CARGO_TARGET_DIR)/debug/ropeway-test-cluster

.PHONY: tools test-worker test-operator test-cluster test-charts cluster cluster-down image image-nats crds

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
