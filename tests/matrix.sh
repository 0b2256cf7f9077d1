#!/usr/bin/env bash
# Repeats the tests that use a broker on several versions of RabbitMQ.
#
#   tests/matrix.sh                       # on all of them
#   tests/matrix.sh trixie forky          # on these
#   TESTS='reconcile reload' tests/matrix.sh installed    # only tests with such names
#   RUN='make bench-peers' tests/matrix.sh forky          # something else than the tests
#
# `installed` is the RabbitMQ of this machine. Each other one comes from the Debian suite of that
# name: its packages are unpacked once, with debootstrap, into target/rabbitmq/SUITE, and the nodes
# of the tests run in there with chroot. That takes root, a minute and 300 MB a suite, and a mirror
# of Debian, which is looked up among this machine's own sources of packages.
#
# What is mounted for that is mounted in a namespace of this script's own, so it is gone when the
# script is, however it ends.
set -euo pipefail

# The suite, and the version that it carried when this was written.
SUITES='installed trixie forky'
declare -A EXPECTED=([trixie]=4.0. [forky]=4.3.)

say() { printf 'matrix: %s\n' "$*" >&2; }
fail() {
    say "$1"
    say "hint: $2"
    exit 1
}

# A script for debootstrap; later suites are made as `sid` is.
SCRIPTS=/usr/share/debootstrap/scripts

need_debootstrap() {
    command -v debootstrap >/dev/null && command -v wget >/dev/null && return
    command -v apt-get >/dev/null ||
        fail 'neither debootstrap nor apt-get is here' 'run this on Debian or one of its kin'
    say 'installing debootstrap'
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        debootstrap debian-archive-keyring wget >/dev/null
}

# The first of this machine's mirrors that has the suite.
mirror_of() {
    local uri
    for uri in $(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sort -u); do
        if wget -q --spider --timeout=30 --tries=2 "${uri%/}/dists/$1/Release"; then
            printf '%s\n' "$uri"
            return
        fi
    done
    fail "none of this machine's package mirrors has the Debian suite \`$1\`" \
        'this needs the network, and a mirror of Debian in the sources of apt'
}

# Unpacks a suite, unless that was done before.
unpack() {
    local root=$1 suite=$2 mirror script
    [ ! -e "$root/usr/lib/rabbitmq/bin/rabbitmq-server" ] || return 0
    need_debootstrap
    mirror=$(mirror_of "$suite")
    script=$SCRIPTS/$suite
    [ -e "$script" ] || script=$SCRIPTS/sid
    say "unpacking RabbitMQ of $suite into $root"
    # Under another name until it is complete.
    rm -rf --one-file-system "$root.part"
    mkdir -p "$root.part"
    if ! debootstrap --variant=minbase --include=rabbitmq-server \
        "$suite" "$root.part" "$mirror" "$script" >"$root.log" 2>&1; then
        tail -n 20 "$root.log" >&2
        fail "debootstrap could not make $root" "the whole of what it said is in $root.log"
    fi
    rm -rf "$root.part"/var/cache/apt/archives/*.deb "$root.part/etc/apt/sources.list" "$root.log"
    mv "$root.part" "$root"
}

# What a node needs to see in there.
furnish() {
    local root=$1
    # Without it the node waits for ever for its own name to resolve.
    cp /etc/hosts "$root/etc/hosts"
    mount -t proc proc "$root/proc" 2>/dev/null || mount --bind /proc "$root/proc"
    mount --bind /dev "$root/dev"
}

cd "$(dirname "$0")/.."
suites=("$@")
[ $# -gt 0 ] || read -ra suites <<<"$SUITES"

if [ "${suites[*]}" != installed ] && [ -z "${WARRENER_MATRIX_INSIDE:-}" ]; then
    [ "$(id -u)" -eq 0 ] || fail 'only root can unpack and enter another system' \
        "run it as root, or only the RabbitMQ of this machine: $0 installed"
    # Everything below runs again, where mounts are nobody else's.
    WARRENER_MATRIX_INSIDE=1 exec unshare --mount --propagation private -- \
        bash tests/matrix.sh "${suites[@]}"
fi

read -ra tests <<<"${TESTS:-}"
for suite in "${suites[@]}"; do
    if [ "$suite" = installed ]; then
        unset WARRENER_TEST_RABBITMQ_ROOT
        version='as it is'
    else
        root=$PWD/target/rabbitmq/$suite
        unpack "$root" "$suite"
        furnish "$root"
        export WARRENER_TEST_RABBITMQ_ROOT=$root
        version=$(dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Version}' rabbitmq-server)
        case $version in
            "${EXPECTED[$suite]:-}"*) ;;
            *) say "note: $suite carries $version now; ${EXPECTED[$suite]}x is not tested" ;;
        esac
    fi
    say "RabbitMQ of $suite ($version)"
    start=$SECONDS
    if [ -n "${RUN:-}" ]; then
        bash -c "$RUN"
    else
        "${CARGO:-cargo}" test --locked --test it -- "${tests[@]}"
    fi
    say "RabbitMQ of $suite ($version): passed in $((SECONDS - start)) s"
done
