#!/bin/sh
# Gets the peers that Warrener is measured beside into target/peers, from the registries of Python
# and Node and from the distribution. What cannot be had is left out of the tables, which say so.
set -u

cd "$(dirname "$0")/../.."
peers=target/peers
mkdir -p "$peers"
say() { printf 'peers: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; elif have sudo; then sudo "$@"; else false; fi; }

packages=
have gcc || packages="$packages gcc libc6-dev"
have amqp-consume || packages="$packages amqp-tools"
[ -e /usr/include/rabbitmq-c/amqp.h ] || [ -e /usr/include/amqp.h ] ||
    packages="$packages librabbitmq-dev"
have python3 && python3 -c 'import ensurepip' 2>/dev/null || packages="$packages python3-venv"
have valgrind || packages="$packages valgrind"
if [ -n "$packages" ] && have apt-get; then
    say "installing$packages"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        $packages >/dev/null || say "not all of these could be installed"
fi
# Not together with the others: some machines have a Node of their own, with which it would clash.
if ! have node && have apt-get; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        nodejs npm >/dev/null || say "no Node"
fi

if have python3 && ! "$peers/python/bin/python3" -c 'import pika, aio_pika' 2>/dev/null; then
    { python3 -m venv "$peers/python" && "$peers/python/bin/pip" -q install pika aio-pika; } ||
        say "no pika, no aio-pika"
fi
if [ ! -e "$peers/node/node_modules/amqplib" ] && have npm; then
    npm install --silent --no-audit --no-fund --prefix "$peers/node" amqplib >/dev/null ||
        say "no amqplib"
fi

compile() {
    out=$peers/$1
    shift
    cc -O2 -Wall -Wextra -o "$out" "$@" || say "$out could not be built"
}
compile rabbitmq_c benches/peers/clients/rabbitmq_c.c -lrabbitmq
compile lines_c benches/peers/children/lines.c
compile bare benches/peers/clients/bare.c
