#!/usr/bin/env bash
# Runs the tests that need a broker on other versions of RabbitMQ as well: on those of other suites
# of this machine's own Debian archive, installed below target/rabbitmq/ (400 MB each).
#
#     tests/matrix.sh [SUITE…]        default: trixie forky
#
# Needs root, debootstrap, and a Debian whose apt sources name the archive; nothing outside target/
# is changed. What is mounted there is unmounted at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] || { echo 'matrix: must be root, for debootstrap and chroot' >&2; exit 1; }
command -v debootstrap >/dev/null || {
    echo 'matrix: debootstrap is missing' >&2
    echo 'hint: apt-get install debootstrap' >&2
    exit 1
}

suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(trixie forky)

# The archive that this machine itself installs from.
archive=$(apt-get indextargets --format '$(REPO_URI) $(CREATED_BY) $(COMPONENT)' |
    awk '$2 == "Packages" && $3 == "main" && $1 !~ /security|debug|backports/ { print $1; exit }')
[ -n "$archive" ] || { echo 'matrix: the apt sources name no archive' >&2; exit 1; }

mounted=()
cleanup() {
    for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do
        umount "${mounted[i]}" || umount --lazy "${mounted[i]}"
    done
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

failed=()
for suite in "${suites[@]}"; do
    root=$PWD/target/rabbitmq/$suite
    if [ ! -e "$root/.complete" ]; then
        echo "matrix: installing RabbitMQ of $suite below target/rabbitmq/"
        rm -rf "$root"
        mkdir -p "$root"
        # A suite younger than this machine's debootstrap is made like the youngest it knows.
        script=/usr/share/debootstrap/scripts/$suite
        [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
        debootstrap --variant=minbase --include=rabbitmq-server "$suite" "$root" "$archive" \
            "$script" >"$root.log" 2>&1 || { tail -20 "$root.log" >&2; exit 1; }
        touch "$root/.complete"
    fi
    # Without it the node never comes up: it looks up its own name.
    cp /etc/hosts "$root/etc/hosts"
    # Not /dev: what debootstrap makes suffices, and a `rm -r target` after a crash of this script
    # would follow a bind mount out of here.
    mount -t proc proc "$root/proc"
    mounted+=("$root/proc")
    version=$(chroot "$root" dpkg-query --show --showformat '${Version}' rabbitmq-server)
    echo "matrix: RabbitMQ $version of $suite"
    # What starts the built binary's own private broker (dev) is about this machine's RabbitMQ.
    if ! WARRENER_TEST_RABBITMQ_ROOT=$root cargo test --locked --test it -- \
        routing supervise reconcile reload endure proxy sandbox; then
        failed+=("$version")
    fi
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "matrix: failed on ${failed[*]}" >&2
    exit 1
fi
echo "matrix: passed on ${suites[*]}"
