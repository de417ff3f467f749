#!/usr/bin/env bash
# Makes the images that the Dockerfile and docker-compose.yml begin with, from Debian packages and this machine's own
# Rust toolchain, under the names used there. For a machine that reaches a Debian mirror and no image registry.
#
#   base_images.sh work-directory
#
# Read from the environment: DEBIAN_MIRROR, and what docker itself reads (DOCKER_HOST).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd -P)
work=$1
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

has() {
    docker image inspect "$1" >/dev/null 2>&1
}

# A root directory with these packages, as an image. What the machine trusts beyond Debian's list of authorities (a
# company's proxy, for example), the image trusts too: else nothing can be fetched from inside.
image() {
    local name=$1 packages=$2 root
    shift 2
    has "$name" && return
    root=$work/root-${name//[^a-z0-9]/-}
    printf '==> Making the base image %s\n' "$name"
    rm -rf "$root"
    debootstrap --variant=minbase ${packages:+--include="$packages"} bookworm "$root" "$mirror" >"$work/debootstrap.log" 2>&1 ||
        { tail -n 20 "$work/debootstrap.log"; return 1; }
    if [ -n "$packages" ]; then
        mkdir -p "$root/etc/ssl/certs"
        cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    fi
    "${prepare:-true}" "$root"
    tar -C "$root" --numeric-owner -c . | docker import "$@" - "$name" >/dev/null
    rm -rf "$root"
}

# The toolchain that rust-toolchain.toml names, without rustup: it is the only one there.
rust() {
    local toolchain
    toolchain=$(cd "$here/../.." && rustc --print sysroot)
    mkdir -p "$1/usr/local/rust"
    cp -a "$toolchain/bin" "$toolchain/lib" "$1/usr/local/rust/"
}

# A stand-in for the official image's entry point: the same settings, directory and user.
postgres() {
    install -m 755 "$here/postgres_entrypoint.sh" "$1/usr/local/bin/docker-entrypoint.sh"
    install -d -o 101 -g 103 "$1/var/lib/postgresql/data"
    chroot "$1" chown postgres:postgres /var/lib/postgresql/data
}

mkdir -p "$work"
image debian:12-slim ""
prepare=rust image rust:1.95-bookworm gcc,libc6-dev,ca-certificates,git \
    --change "ENV PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    --change "ENV CARGO_HOME=/usr/local/cargo"
prepare=postgres image postgres:15-bookworm postgresql-15 \
    --change "ENV PGDATA=/var/lib/postgresql/data" \
    --change "VOLUME /var/lib/postgresql/data" \
    --change "EXPOSE 5432" \
    --change 'ENTRYPOINT ["docker-entrypoint.sh"]' \
    --change 'CMD ["postgres"]'
# docker import knows no STOPSIGNAL. On SIGTERM Postgres would wait for its clients.
printf 'FROM postgres:15-bookworm\nSTOPSIGNAL SIGINT\n' | docker build --quiet --tag postgres:15-bookworm - >/dev/null
