#!/bin/sh
# Builds the AssemblyScript filter to the path given. Envoy has no env.abort, so a failure ends the VM by proc_exit.
set -eu
npm ci --silent --no-audit --no-fund
exec node_modules/.bin/asc filter.ts -o "$1" --use abort=abort_proc_exit -O3
