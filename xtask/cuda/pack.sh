#!/usr/bin/env bash
# Builds the program and the device tests of all crates for CUDA, and gathers them for a machine without cargo.
#
#   xtask/cuda/pack.sh [--toolkit DIR | --emulated]
#
# Leaves target/cuda/pack (check.sh, real.sh, xtask, test-core, test-losses, test-models, test-xtask) and the archive
# target/cuda/pack.tar.xz; with --emulated, which is to try it all out, the same in target/cuda-emulated.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=$root/target/cuda
[ "${1:-}" != --emulated ] || target=$root/target/cuda-emulated
pack=$target/pack
rm -rf "$pack" && mkdir -p "$pack"

features=$(printf '%s/cuda,' arcface-core arcface-losses arcface-models xtask)
"$here/build.sh" "$@" build --release --package xtask --features cuda
cp "$target/release/xtask" "$pack/xtask"
"$here/build.sh" "$@" test --release --no-run --message-format=json --test it --features "${features%,}" \
    --package arcface-core --package arcface-losses --package arcface-models --package xtask |
    python3 -c '
import json, shutil, sys
for line in sys.stdin:
    message = json.loads(line) if line.startswith("{") else {}
    if message.get("executable") and message.get("target", {}).get("kind") == ["test"]:
        crate = message["package_id"].split("#")[0].rsplit("/", 1)[-1].removeprefix("arcface-")
        shutil.copy(message["executable"], f"{sys.argv[1]}/test-{crate}")
' "$pack"
for crate in core losses models xtask; do
    [ -x "$pack/test-$crate" ] || { echo "pack.sh: no tests of $crate were built" >&2 && exit 1; }
done
strip "$pack"/xtask "$pack"/test-*
cp "$here"/{check,real,device}.sh "$pack/"
{ git -C "$root" rev-parse HEAD && git -C "$root" status --short | sed 's/^/changed: /'; } >"$pack/about.txt" 2>/dev/null || true

# The binaries are much alike: a window over all of them makes one of five.
tar -C "$target" -c pack | xz -T2 --lzma2=preset=6,dict=256MiB >"$target/pack.tar.xz"
du -h "$pack"/* "$target/pack.tar.xz"
