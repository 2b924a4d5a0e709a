#!/bin/sh
# Builds the Rust filter to the path given, with Debian's rustc, cargo, lld and libstd-rust-dev-wasm32, which has the
# target wasm32-wasi. Debian's cargo cannot read today's crate index, so a newer one on the PATH fetches the crates first.
set -eu
out=$1
mkdir .cargo
cargo vendor >.cargo/config.toml
sed -i 's/^version = 4$/version = 3/' Cargo.lock
RUSTC=/usr/bin/rustc CARGO_TARGET_WASM32_WASI_LINKER=wasm-ld \
  /usr/bin/cargo build -q --offline --release --target wasm32-wasi --target-dir target
mv target/wasm32-wasi/release/filter.wasm "$out"
