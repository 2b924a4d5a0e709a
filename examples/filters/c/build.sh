#!/bin/sh
# Builds the C filter to the path given: ZIG names a zig compiler, which brings clang and wasi-libc.
set -eu
export ZIG_GLOBAL_CACHE_DIR="$PWD/.zig" ZIG_LOCAL_CACHE_DIR="$PWD/.zig"
exec "${ZIG:-zig}" cc -target wasm32-wasi -mexec-model=reactor -O2 -s -Wall -Wextra -Werror \
  -Wl,--export=malloc -o "$1" filter.c
