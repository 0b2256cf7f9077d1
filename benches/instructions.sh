#!/bin/sh
# Counts the instructions of a message's way through the pure rooms, and holds them against
# benches/instructions.txt: a busy machine changes times, but not these. `--save` writes the file
# anew, for a change that is worth what it costs.
set -eu

cd "$(dirname "$0")/.."
table=benches/instructions.txt
# Compilers differ by more than a change that matters would; this is for one compiler.
tolerance=5
few=6400
many=70400

say() { printf 'instructions: %s\n' "$*" >&2; }
if ! command -v valgrind >/dev/null; then
    say 'valgrind is missing'
    say 'hint: install it, for example with `apt-get install valgrind`'
    exit 1
fi

program=$("${CARGO:-cargo}" bench --locked --bench instructions --no-run 2>&1 |
    sed -n 's/.*(\(target[^)]*\)).*/\1/p' | tail -n 1)
[ -n "$program" ] || { say 'the benchmark could not be built'; exit 1; }

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

failed=0
fresh=
for name in lines json frames; do
    # Starting up is in both.
    each=$((($(count "$name" $many) - $(count "$name" $few)) / (many - few)))
    fresh="$fresh$name $each
"
    before=$(sed -n "s/^$name //p" "$table" 2>/dev/null || true)
    say "$name: $each a message, ${before:-never counted} before"
    if [ -n "$before" ] && [ $((each * 100)) -gt $((before * (100 + tolerance))) ]; then
        say "$name takes over $tolerance % more than before"
        failed=1
    fi
done
if [ "${1:-}" = --save ]; then
    printf '%s' "$fresh" >"$table"
    exit 0
fi
exit $failed
