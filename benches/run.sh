#!/bin/sh
# Measures what the gateway costs: builds what is measured, as it would be shipped, then runs it.
# `cargo xtask bench` calls this; README.md says how to read the result.
#
#   run.sh [OPTION...]               by the clock, beside other proxies
#   run.sh instructions [OPTION...]  instructions and allocations, which a busy machine does not move
#   run.sh decisions [OPTION...]     the decision alone, by criterion, which gets the options
#   run.sh logins [OPTION...]        signing in
#   run.sh soak [OPTION...]          memory: at rest, under many connections, over a long mixed load
set -eu
cd "$(dirname "$0")/.."

needed="nginx node openssl python3 taskset"
target="${CARGO_TARGET_DIR:-target}"
case "$target" in
/*) ;;
*) target="$PWD/$target" ;;
esac
what="${1:-}"
case "$what" in
instructions | decisions | logins | soak) shift ;;
*) what=measure ;;
esac
case "$what" in
measure | logins) needed="$needed wrk" ;;
instructions) needed="$needed valgrind vgdb" ;;
decisions) needed="python3" ;;
esac
for program in $needed; do
    command -v "$program" >/dev/null || {
        echo "bench: $program is missing; \`cargo xtask setup bench\` installs what is needed" >&2
        exit 2
    }
done

case "$what" in
decisions)
    export CRITERION_HOME="$target/criterion"
    cargo bench --locked --package lychgate-decisions-bench --target-dir "$target" -- "$@"
    exec python3 -B benches/decisions.py "$target/criterion"
    ;;
instructions)
    # The same code with the names of its functions, which counting goes by. It has a place of its
    # own, so that neither build undoes the other.
    target="$target/prof"
    export CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=line-tables-only
    ;;
esac
cargo build --release --locked --target-dir "$target" \
    --package lychgate-server --package lychgate-passthrough
exec python3 -B "benches/$what.py" --binaries "$target/release" "$@"
