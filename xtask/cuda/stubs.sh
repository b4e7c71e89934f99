#!/usr/bin/env bash
# Prints C source with a function for every one that a module of cudarc declares. Knows no signatures.
#
#   stubs.sh CUDARC_SOURCE MODULE
#
# Each returns 100, CUDA's "no device", and is weak: a function of the same name in the same library replaces it.
set -euo pipefail
sed -nE 's/^ +(pub )?fn ((cu|nccl|nvrtc)[A-Za-z0-9_]+)\(.*/__attribute__((weak)) int \2(void) { return 100; }/p' \
    "$1/src/$2/sys/mod.rs" | LC_ALL=C sort -u
