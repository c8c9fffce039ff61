#!/bin/sh
# Measures the gateway beside nginx and a bare pingora proxy, or, with `logins` as the first argument, what
# signing in costs: builds what is measured, as it would be shipped, then runs it. `cargo xtask bench` calls
# this; README.md says how to read the result.
set -eu
cd "$(dirname "$0")/.."

for program in nginx wrk node openssl python3 taskset; do
    command -v "$program" >/dev/null || {
        echo "bench: $program is missing; \`cargo xtask setup\` installs what is needed" >&2
        exit 2
    }
done

cargo build --release --locked --package lychgate-server --package lychgate-passthrough
measure=measure.py
if [ "${1:-}" = logins ]; then
    measure=logins.py
    shift
fi
exec python3 -B "benches/$measure" --binaries "${CARGO_TARGET_DIR:-target}/release" "$@"
