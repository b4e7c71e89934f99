#!/usr/bin/env bash
# Runs the device tests of all crates and the comparison with PyTorch on a machine with a GPU and without cargo.
#
#   xtask/cuda/check.sh [PACK]
#
# PACK is what pack.sh made, a folder or the archive of it; without it the folder of this script or target/cuda/pack.
#   OUT      folder for logs [check]
#   TIME     seconds that all may take [570]
#   WORKS    works of `bench peer` in place of all, such as "train-iresnet50-128 infer-iresnet50-128"
#   ROUNDS   samples of each side [5]
#   PYTHON   a Python with PyTorch, whose wheels bring CUDA's libraries [python3]
# Ends with 0 if all tests passed and no figure missed its least.
set -u
here=$(cd "$(dirname "$0")" && pwd)
pack=${1:-$here}
[ -n "${1:-}" ] || [ -e "$here/xtask" ] || pack=$here/../../target/cuda/pack
python=${PYTHON:-python3} out=${OUT:-check} time=${TIME:-570} failed=''
mkdir -p "$out" && out=$(cd "$out" && pwd)

# An archive, or one beside the folder that is not there.
[ -d "$pack" ] || [ -f "$pack" ] || pack=$pack.tar.xz
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
. "$here/device.sh"
pack=$(unpacked "$pack" pack "$work") || exit 2

libraries=$(libraries)
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$libraries
export ARCFACE_XTASK=$pack/xtask ARCFACE_PYTHON INSTA_UPDATE=no INSTA_WORKSPACE_ROOT=$pack
ARCFACE_PYTHON=$(command -v "$python")
{ nvidia-smi; cat "$pack/about.txt"; } >"$out/machine.log" 2>&1

left() { echo $((time > SECONDS + 10 ? time - SECONDS : 10)); }

for crate in core losses models xtask; do
    log=$out/test-$crate.log
    if (cd "$pack" && timeout "$(left)" "./test-$crate" device --nocapture) >"$log" 2>&1; then
        # Tests that found no device have shown nothing.
        grep -q 'skipped: no CUDA device' "$log" && failed="$failed $crate-without-device"
    else
        failed="$failed $crate"
    fi
    echo "$crate: $(grep '^test result' "$log" || tail -n 2 "$log")"
    grep -E '^(---- |test .* FAILED)' "$log"
done

# What matters most comes first, each by itself, so that one that fails or finds no more time leaves the others.
for work in ${WORKS:-train-iresnet50-128,memory-iresnet50-128 infer-iresnet50-128 \
    train-mobilefacenet-128,memory-mobilefacenet-128 head-1000000-512,head-1000000-512-memory infer-mobilefacenet-128 \
    input-iresnet50-128 input-mobilefacenet-128 \
    train-iresnet50-512,memory-iresnet50-512 train-iresnet100-128,memory-iresnet100-128 infer-iresnet100-128 \
    train-mobilefacenet-512,memory-mobilefacenet-512 train-iresnet100-512,memory-iresnet100-512}; do
    log=$out/bench-${work%%,*}
    if [ $((time - SECONDS)) -lt 30 ]; then
        failed="$failed ${work%%,*}-without-time"
        continue
    fi
    timeout "$(left)" "$pack/xtask" bench peer --device cuda:0 --check --json --rounds "${ROUNDS:-5}" --threads 8 \
        --only "$work" >"$log.json" 2>"$log.log" || failed="$failed ${work%%,*}"
    grep -hE '^\| [a-z]|^error|left out' "$log.log" | grep -v '^| work'
done
echo "$SECONDS s; failed:${failed:- nothing}; logs in $out"
[ -z "$failed" ]
