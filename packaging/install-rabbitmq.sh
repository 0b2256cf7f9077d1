#!/bin/sh
# Installs what the demo and the tests need and the machine lacks: RabbitMQ, Python 3 and bash.
# Does nothing where they are there. Never leaves a RabbitMQ service running that was not running
# before: the demo and the tests start private nodes of their own.
set -eu

say() { printf 'install-rabbitmq: %s\n' "$*" >&2; }

# Also looks where an ordinary user's PATH does not.
have() { PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/opt/homebrew/bin:/opt/homebrew/sbin" command -v "$1" >/dev/null 2>&1; }

have_rabbitmq() {
    have rabbitmq-server || [ -e /usr/lib/rabbitmq/bin/rabbitmq-server ] ||
        [ -e /opt/rabbitmq/sbin/rabbitmq-server ]
}

missing=
have_rabbitmq || missing="$missing rabbitmq"
have python3 || missing="$missing python3"
have bash || missing="$missing bash"
[ -n "$missing" ] || exit 0

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        say "must be root to run: $*"
        say 'hint: run this script as root, or install sudo'
        exit 1
    fi
}

# Package names are the same everywhere but for RabbitMQ's.
packages() {
    for name in $missing; do
        if [ "$name" = rabbitmq ]; then echo "$1"; else echo "$name"; fi
    done
}

# Debian's package starts the service when it is installed, unless a policy forbids it.
with_apt() {
    policy=/usr/sbin/policy-rc.d
    ours=no
    if [ ! -e "$policy" ]; then
        ours=yes
        # shellcheck disable=SC2016
        as_root sh -c 'printf "#!/bin/sh\nexit 101\n" >"$1" && chmod 755 "$1"' sh "$policy"
    fi
    # Removed whatever happens, or the machine's own services would not start after an upgrade.
    trap '[ "$ours" = no ] || as_root rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    as_root apt-get update
    # shellcheck disable=SC2046
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        $(packages rabbitmq-server)
}

say "missing:$missing"
if have apt-get; then
    say "running apt-get install; no service will be started"
    with_apt
elif have dnf; then
    say "running dnf install"
    # shellcheck disable=SC2046
    as_root dnf install -y $(packages rabbitmq-server)
elif have apk; then
    say "running apk add"
    # shellcheck disable=SC2046
    as_root apk add $(packages rabbitmq-server)
elif have brew; then
    say "running brew install"
    # shellcheck disable=SC2046
    brew install $(packages rabbitmq)
else
    say 'found none of apt-get, dnf, apk and brew'
    say 'hint: install RabbitMQ as https://www.rabbitmq.com/docs/download describes, then try again'
    exit 1
fi

if ! have_rabbitmq; then
    say 'the package manager succeeded, but there is still no rabbitmq-server'
    exit 1
fi
say 'done'
