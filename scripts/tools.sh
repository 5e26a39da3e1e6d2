#!/usr/bin/env bash
# Builds the programs that the tests and `make demo` run, into .tools/, and installs the Debian packages they need.
#
#   scripts/tools.sh [nats|kubernetes|node|helm|signers|oidc|azure|vendors|link|deny|fuzz|all]…
#
#   nats        nats-server
#   kubernetes  etcd, kube-apiserver, kube-controller-manager, kubectl
#   node        the rest of a real node: kube-scheduler, kubelet, kube-proxy, CNI, containerd, DNS, image tools
#   helm        helm
#   signers     vendors' own webhook libraries, for Node.js (tests/peers/signers)
#   oidc        an authorization server, for Node.js (tests/peers/oidc)
#   azure       what stands for Entra ID and Key Vault, and Microsoft's clients, for Node.js (tests/peers/azure)
#   vendors     vendors' own client libraries and what our providers are compared with, for Node.js (tests/peers/vendors)
#   deny        cargo-deny, for licences and bans
#   fuzz        cargo-fuzz; not part of all, since it is of use with nightly Rust only
#   link        mold, which .cargo/config.toml names as the linker
#   all         everything (the default)
#
# What is up to date is left alone: each part has a stamp made of its sources. ROPEWAY_GO_JOBS sets the number of
# compilers (default: the number of cores).
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/.tools
sources=$root/tests/tools
jobs=${ROPEWAY_GO_JOBS:-$(nproc)}

say() { echo "tools: $*"; }
fail() { echo "tools: $*" >&2; exit 1; }

need_go() {
  command -v go >/dev/null || fail "Go is missing; install Go 1.26 or later"
}

# The stamp of a part: its go.mod, go.sum and own Go files, and this script, which holds the flags.
stamp() {
  find "$sources/$1" -name go.mod -o -name go.sum -o -name '*.go' | LC_ALL=C sort | xargs cat "$0" | sha256sum | cut -d' ' -f1
}

# up_to_date PART FOLDER PROGRAM…: true when the stamp is this source's and every program is there. Otherwise the stamp
# that a build from now on will have is kept for keep_stamp.
new_stamp=
up_to_date() {
  local part=$1 folder=$2 program
  shift 2
  new_stamp=$(stamp "$folder")
  [[ -f $tools/stamps/$part && $(cat "$tools/stamps/$part") == "$new_stamp" ]] || return 1
  for program in "$@"; do [[ -x $tools/$program ]] || return 1; done
}

keep_stamp() {
  mkdir -p "$tools/stamps"
  echo "$new_stamp" >"$tools/stamps/$1"
}

# go_build FOLDER LINKER_FLAGS OUTPUT PACKAGE…
go_build() {
  local folder=$1 flags=$2 output=$3
  shift 3
  need_go
  mkdir -p "$tools"
  (cd "$sources/$folder" && CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -p "$jobs" -trimpath -buildvcs=false -ldflags "-s -w $flags" -o "$tools/$output" "$@")
}

nats() {
  up_to_date nats nats nats-server && return
  say "building nats-server (about a minute)"
  go_build nats "" nats-server github.com/nats-io/nats-server/v2
  keep_stamp nats
}

helm() {
  up_to_date helm helm helm && return
  say "building helm (some minutes)"
  go_build helm "" helm helm.sh/helm/v3/cmd/helm
  keep_stamp helm
}

# kubernetes_programs PART PROGRAM…: builds them with the version that the API server and kubelet will report.
kubernetes_programs() {
  local part=$1 version package=k8s.io/component-base/version flags minor program packages=()
  shift
  up_to_date "$part" kubernetes "$@" && return
  need_go
  version=$(cd "$sources/kubernetes" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
  minor=${version#v1.}
  flags="-X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*} -X $package.gitTreeState=clean"
  for program in "$@"; do [[ $program == etcd ]] || packages+=("k8s.io/kubernetes/cmd/$program"); done
  say "building Kubernetes $version: $* (the first time ten minutes on two cores)"
  go_build kubernetes "$flags" "" "${packages[@]}"
  if [[ " $* " == *" etcd "* ]]; then go_build kubernetes "" etcd go.etcd.io/etcd/server/v3; fi
  keep_stamp "$part"
}

kubernetes() { kubernetes_programs kubernetes etcd kube-apiserver kube-controller-manager kubectl; }

node() {
  kubernetes
  kubernetes_programs node kube-scheduler kubelet kube-proxy
  if ! up_to_date dns dns coredns; then
    say "building coredns (some minutes)"
    go_build dns "" coredns .
    keep_stamp dns
  fi
  image_tools
  packages containerd:containerd runc:runc containernetworking-plugins:/usr/lib/cni/bridge iptables:iptables \
    conntrack:conntrack ethtool:ethtool socat:socat iproute2:ip mount:mount
}

image_tools() {
  up_to_date image image image/pack image/pause image/probe && return
  say "building the image tools"
  go_build image "" image/ ./...
  keep_stamp image
}

# node_package NAME WHAT: a package.json of tests/peers, installed beside its scripts; nothing of a package is run by the
# install.
node_package() {
  local name=$1 what=$2
  local folder=$root/tests/peers/$name
  new_stamp=$(cat "$0" "$folder/package.json" "$folder/package-lock.json" | sha256sum | cut -d' ' -f1)
  [[ -d $folder/node_modules && -f $tools/stamps/$name && $(cat "$tools/stamps/$name") == "$new_stamp" ]] && return
  command -v node >/dev/null && command -v npm >/dev/null ||
    fail "Node.js is missing; install Node.js 20 or later with npm, such as by: sudo apt-get install nodejs npm"
  say "installing $what"
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel error) ||
    fail "$what could not be installed; run again: scripts/tools.sh $name"
  keep_stamp "$name"
}

signers() { node_package signers "vendors' webhook libraries"; }

oidc() { node_package oidc "oidc-provider"; }

azure() { node_package azure "what stands for Azure"; }

vendors() { node_package vendors "vendors' client libraries"; }

link() { packages mold:mold; }

# cargo_tool NAME VERSION HOW_LONG: a program of the registry. Its target folder outlives the clone, so that the next clone
# need not build it again.
cargo_tool() {
  local name=$1 version=$2
  [[ -x $tools/bin/$name && $("$tools/bin/$name" --version) == *" $version" ]] && return
  say "building $name $version ($3)"
  link
  (cd "$root" && cargo install --quiet --locked --version "$version" --root "$tools" \
    --target-dir "${XDG_CACHE_HOME:-$HOME/.cache}/ropeway/$name" "$name") || fail "$name could not be built"
}

deny() { cargo_tool cargo-deny 0.20.2 "some minutes"; }

fuzz() { cargo_tool cargo-fuzz 0.13.1 "a minute"; }

# packages NAME:PROGRAM…: installs the Debian packages whose program is missing.
packages() {
  local pair missing=()
  for pair in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair#*:}" >/dev/null || missing+=("${pair%%:*}")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  command -v apt-get >/dev/null || fail "missing: ${missing[*]}; install them with this system's package manager"
  [[ $(id -u) == 0 ]] || fail "missing: ${missing[*]}; run: sudo apt-get install --no-install-recommends ${missing[*]}"
  say "installing ${missing[*]}"
  install_packages "${missing[@]}"
}

# No service may be started by an install: the tests run their own containerd.
install_packages() {
  local log
  log=$(mktemp)
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  { apt-get install -y --no-install-recommends "$@" || { apt-get update && apt-get install -y --no-install-recommends "$@"; }; } \
    >"$log" 2>&1 || { cat "$log" >&2; fail "failed to install $*"; }
  rm -f "$log"
}

[[ $# -gt 0 ]] || set -- all
for part in "$@"; do
  case $part in
    nats | kubernetes | node | helm | signers | oidc | azure | vendors | link | deny | fuzz) "$part" ;;
    image) image_tools ;;
    all) link; nats; node; helm; signers; oidc; azure; vendors; deny ;;
    *) fail "unknown part '$part'; one of nats, kubernetes, node, helm, signers, oidc, azure, vendors, image, link, deny, fuzz, all" ;;
  esac
done
