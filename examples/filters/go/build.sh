#!/bin/sh
# Builds the Go filter to the path given: Go 1.24 or later, as a reactor that the proxy calls into.
set -eu
export GOOS=wasip1 GOARCH=wasm GOFLAGS="-mod=readonly -buildvcs=false"
exec go build -buildmode=c-shared -trimpath -ldflags='-s -w' -o "$1" .
