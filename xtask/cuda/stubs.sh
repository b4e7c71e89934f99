#!/usr/bin/env bash
# Prints C source with a function for every one that a module of cudarc declares. Knows no signatures.
#
#   stubs.sh CUDARC_SOURCE MODULE
#
# Each returns the module's error code for "there is none" or "not supported", and is weak: a function of the same
# name in the same library replaces it.
set -euo pipefail
case $2 in
    driver) error=100 ;;
    nvrtc) error=11 ;;
    cublas | cublaslt) error=15 ;;
    curand) error=203 ;;
    cudnn) error=3000 ;;
    nccl) error=3 ;;
    *)
        echo "stubs.sh: no module named $2" >&2
        exit 1
        ;;
esac
sed -nE "s/^ +(pub )?fn ((cu|nccl|nvrtc)[A-Za-z0-9_]+)\(.*/__attribute__((weak)) int \2(void) { return $error; }/p" \
    "$1/src/$2/sys/mod.rs" | LC_ALL=C sort -u
