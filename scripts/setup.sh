#!/usr/bin/env bash
# Installs what is missing to build, run and test, as Debian packages. Does nothing if all is there.
# Further packages may be named as arguments (make lint adds shellcheck, make test a browser).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

missing=()
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

need redis-server command -v redis-server
need redis-tools command -v redis-cli
need postgresql postgres_binaries
# Not libclang*.so*: that is there with the run-time library alone, which lacks the headers that bindgen reads.
need libclang-dev compgen -G '/usr/lib/llvm-*/lib/libclang.so'
need gcc command -v cc
need libc6-dev test -e /usr/include/stdio.h
need curl command -v curl
need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
# Debian has rustup since version 13; before that, one installs it oneself (see below).
need rustup command -v cargo
for package in "$@"; do
    need "$package" dpkg -s "$package"
done

# Leaves out what this version of Debian does not have.
available() {
    local package
    for package in "$@"; do
        [ -z "$(apt-cache madison "$package")" ] || printf '%s\n' "$package"
    done
}

privileged() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Debian starts a server as soon as its package is installed. Nobody asked for that here, where the servers
# are private, so for the time of the installation the usual two switches say no. Services that exist
# already are not touched, and neither are switches that somebody else has set.
SWITCHES=()
forbid_start() {
    local file
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        SWITCHES+=(/usr/sbin/policy-rc.d)
        printf '#!/bin/sh\nexit 101\n' | privileged tee /usr/sbin/policy-rc.d >/dev/null
        privileged chmod 755 /usr/sbin/policy-rc.d
    fi
    file=/etc/postgresql-common/createcluster.d/redis-dashboard-setup.conf
    if ! postgres_binaries >/dev/null; then
        SWITCHES+=("$file")
        privileged mkdir -p "$(dirname "$file")"
        printf 'create_main_cluster = false\n' | privileged tee "$file" >/dev/null
    fi
}

restore_start() {
    [ ${#SWITCHES[@]} -eq 0 ] || privileged rm -f "${SWITCHES[@]}"
}

if [ ${#missing[@]} -gt 0 ]; then
    step "Installing ${missing[*]}"
    command -v apt-get >/dev/null || fail "missing: ${missing[*]}; without apt-get, install their equivalents yourself"
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        fail "missing: ${missing[*]}; run as root: apt-get install ${missing[*]}"
    fi
    trap restore_start EXIT
    forbid_start
    privileged apt-get update -q </dev/null
    mapfile -t packages < <(available "${missing[@]}")
    [ ${#packages[@]} -eq 0 ] ||
        privileged env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}" </dev/null
fi

command -v cargo >/dev/null || fail "cargo is missing: install Rust with rustup (https://rustup.rs), then run this again"
# The version is pinned in rust-toolchain.toml; rustup installs it by itself unless told not to.
if ! (cd "$ROOT" && cargo --version) >/dev/null 2>&1; then
    command -v rustup >/dev/null || fail "cargo does not work here: $(cd "$ROOT" && cargo --version 2>&1)"
    channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml")
    step "Installing Rust $channel"
    rustup toolchain install "$channel" --profile minimal --component rustfmt --component clippy
fi

# Who names python3-venv tests the API, with a program that is no Debian package. A file's copy beside it says which.
schemathesis() {
    local place=$ROOT/target/schemathesis wanted=$ROOT/tests/openapi/requirements.txt
    cmp -s "$wanted" "$place/requirements.txt" && return
    step "Installing schemathesis into target/schemathesis"
    rm -rf "$place"
    python3 -m venv "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$wanted"
    cp "$wanted" "$place/requirements.txt"
}
for package in "$@"; do
    [ "$package" != python3-venv ] || schemathesis
done
