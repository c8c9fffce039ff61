#!/bin/sh
# Runs a server until standard input ends, so that a test that dies takes it along.
"$@" &
server=$!
cat >/dev/null
kill "$server" 2>/dev/null
wait "$server"
