#!/usr/bin/env bash
# Builds the workspace for CUDA, with a toolkit, without one, or for the emulator.
#
#   xtask/cuda/build.sh [--toolkit DIR | --emulated] [cargo arguments]
#
# Without cargo arguments: build --release --package xtask --features cuda.
#
# A toolkit is taken from --toolkit, CUDA_HOME or nvcc on the PATH. Where there is none, nvcc 13.0 comes from PyPI,
# once, to target/cuda-toolkit; that needs python3. Neither GPU nor driver is needed to build. Libraries that are not
# there are linked by name; a machine that runs the program must have them: the driver, cuBLAS, cuRAND, NVRTC, cuDNN.
#
# --emulated downloads nothing and needs a C++ compiler. What it builds also runs, tests included, on the CPU:
#   ARCFACE_EMULATOR_TRACE=1                          prints what is launched
#   ARCFACE_EMULATOR_ORDER=forward|reverse|shuffled   in which order blocks and threads run
#   ARCFACE_NVRTC=DIR                                 a folder with NVIDIA's own NVRTC, for tests that compile kernels alone
#   ARCFACE_EMULATOR_CACHE=DIR                        where compiled kernels are kept, else in the target folder
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

usage() { sed -nE '2,/^set /s/^# ?//p' "$0"; }

cudarc_source() {
    local manifest
    manifest=$(cd "$root" && cargo metadata --all-features --format-version 1 |
        grep -oE '"manifest_path":"[^"]*/cudarc-[0-9][^"/]*/Cargo.toml"' | head -n 1 | cut -d '"' -f 4) || true
    if [ -z "$manifest" ]; then
        echo "build.sh: cudarc is no dependency of the workspace; candle's feature cuda brings it" >&2
        exit 1
    fi
    dirname "$manifest"
}

# Version 13.0, because a driver of CUDA 13.0 refuses the PTX of later compilers.
download_toolkit() { # FOLDER
    local folder=$1 home="$1/site/nvidia/cu13"
    if [ ! -e "$folder/complete" ]; then
        echo "build.sh: fetching nvcc 13.0 to $folder" >&2
        mkdir -p "$folder"
        python3 -m venv "$folder/venv"
        "$folder/venv/bin/pip" --quiet --disable-pip-version-check install --no-deps --no-compile \
            --only-binary=:all: --target "$folder/site" \
            nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 \
            nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
        # The wheels lack the names that a toolkit has.
        ln -sfn lib "$home/lib64"
        ln -sfn libcudart.so.13 "$home/lib/libcudart.so"
        touch "$folder/complete"
    fi
}

# Libraries without content for the linker to find where the real ones are missing.
link_stubs() { # FOLDER CUDARC_SOURCE
    local folder=$1 cudarc=$2 module name soname
    mkdir -p "$folder"
    while read -r module name soname; do
        [ ! "$folder/lib$name.so" -nt "$here/stubs.sh" ] || continue
        "$here/stubs.sh" "$cudarc" "$module" | cc -shared -fPIC -Wl,-soname,"$soname" -o "$folder/lib$name.so" -x c -
    done <<'END'
driver cuda libcuda.so.1
cublas cublas libcublas.so.13
cublaslt cublasLt libcublasLt.so.13
curand curand libcurand.so.10
nvrtc nvrtc libnvrtc.so.13
cudnn cudnn libcudnn.so.9
nccl nccl libnccl.so.2
END
}

toolkit='' emulated=''
while [ $# -gt 0 ]; do
    case $1 in
        --toolkit) toolkit=${2:?--toolkit needs a folder} && shift 2 ;;
        --emulated) emulated=yes && shift ;;
        --help | -h) usage && exit ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || set -- build --release --package xtask --features cuda
cudarc=$(cudarc_source)

if [ -n "$emulated" ]; then
    export CARGO_TARGET_DIR=$root/target/cuda-emulated
    toolkit=$CARGO_TARGET_DIR/toolkit
    "$here/emulator/build.sh" "$toolkit" "$cudarc"
    export ARCFACE_EMULATOR_CACHE=${ARCFACE_EMULATOR_CACHE:-$CARGO_TARGET_DIR/kernels}
    export LD_LIBRARY_PATH=${ARCFACE_NVRTC:+$ARCFACE_NVRTC:}$toolkit/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
else
    export CARGO_TARGET_DIR=$root/target/cuda
    toolkit=${toolkit:-${CUDA_HOME:-}}
    if [ -z "$toolkit" ] && nvcc=$(command -v nvcc); then
        toolkit=$(dirname "$(dirname "$(realpath "$nvcc")")")
    elif [ -z "$toolkit" ]; then
        download_toolkit "$root/target/cuda-toolkit"
        toolkit=$root/target/cuda-toolkit/site/nvidia/cu13
    fi
    link_stubs "$CARGO_TARGET_DIR/stubs" "$cudarc"
    # Looked at after the toolkit's own folders, and no reason for cargo to build anew.
    export LIBRARY_PATH=$CARGO_TARGET_DIR/stubs${LIBRARY_PATH:+:$LIBRARY_PATH}
    # Candle's quantized kernels are always linked; packed tightly they take 6 MB instead of 33.
    if "$toolkit/bin/nvcc" --help | grep -q -- --compress-mode; then
        export NVCC_APPEND_FLAGS="${NVCC_APPEND_FLAGS:-} --compress-mode=size"
    fi
fi

export CUDA_HOME=$toolkit PATH=$toolkit/bin:$PATH
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
# If set, it must agree with nvcc, which cudarc asks for the version anyway.
unset CUDARC_CUDA_VERSION
cd "$root"
exec cargo "$@"
