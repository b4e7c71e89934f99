#!/usr/bin/env bash
# Builds the emulator as a folder that looks like a CUDA toolkit: bin/nvcc, include, lib64.
#
#   build.sh FOLDER CUDARC_SOURCE
#
# Needs a C++ compiler with C++17. What is newer than its sources stays.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
toolkit=$(mkdir -p "$1" && cd "$1" && pwd)
cudarc=$2
cxx=${CXX:-c++}
flags=(-std=c++17 -O3 -fPIC -Wall -Wextra -Wno-missing-field-initializers)

mkdir -p "$toolkit"/{bin,include,lib64,build}
ln -sfn "$here/nvcc" "$toolkit/bin/nvcc"

is_current() { # TARGET SOURCE...
    local target=$1 source
    shift
    [ -e "$target" ] || return 1
    for source; do [ "$target" -nt "$source" ] || return 1; done
}

# What kernels are compiled with; the libraries know only the first of them.
kernel_headers=(module.h device.h device_math.h device_memory.h cuda_bf16.h)
headers=("$here"/{module,trace,compile,fibers,launch,memory,errors,numbers,dnn}.h)

copy_headers() {
    local header
    for header in "${kernel_headers[@]}"; do
        cmp -s "$here/$header" "$toolkit/include/$header" || cp "$here/$header" "$toolkit/include/$header"
    done
}

# A library of our own sources; what they lack of cudarc's functions returns an error.
library() { # NAME SONAME CUDARC_MODULE SOURCE...
    local name=$1 soname=$2 module=$3 stubs="$toolkit/build/$1.c"
    shift 3
    local sources=("${@/#/$here/}") output="$toolkit/lib64/$soname"
    if ! is_current "$output" "${headers[@]}" "${sources[@]}" "$here/build.sh" "$here/../stubs.sh"; then
        echo "emulator: building $soname" >&2
        if [ "$module" = none ]; then
            echo "int ${name}_emulated;" >"$stubs"
        else
            "$here/../stubs.sh" "$cudarc" "$module" >"$stubs"
        fi
        cc -c -fPIC -o "$stubs.o" "$stubs"
        "$cxx" "${flags[@]}" -shared -Wl,-Bsymbolic -Wl,-soname,"$soname" -o "$output.new" \
            "${sources[@]}" "$stubs.o" -ldl -lpthread
        mv "$output.new" "$output"
    fi
    ln -sfn "$soname" "$toolkit/lib64/lib$name.so"
}

candle() {
    local output="$toolkit/lib64/candle.so" compile="$toolkit/bin/compile"
    ! is_current "$output" "$here"/*.h "$here"/candle*.cu* "$here/compile.cpp" "$here/compile_main.cpp" || return 0
    echo "emulator: building candle.so" >&2
    "$cxx" "${flags[@]}" -o "$compile" "$here/compile_main.cpp" "$here/compile.cpp" -ldl
    "$compile" "$here/candle.cu" "$output.new" -I"$here"
    mv "$output.new" "$output"
}

copy_headers
library cuda libcuda.so.1 driver driver.cpp modules.cpp launch.cpp memory.cpp compile.cpp
library nvrtc libnvrtc.so.13 nvrtc nvrtc.cpp compile.cpp
library cublas libcublas.so.13 cublas blas.cpp
library cublasLt libcublasLt.so.13 cublaslt
library curand libcurand.so.10 curand rand.cpp
library cudnn libcudnn.so.9 cudnn dnn.cpp dnn_convolution.cpp
library nccl libnccl.so.2 nccl
library cudart libcudart.so.13 none
candle
