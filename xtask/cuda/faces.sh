#!/usr/bin/env bash
# Packs the real faces of `lfw_actors`, small, for a training on a machine that has none of them.
#
#   ARCFACE_DATA=DIR xtask/cuda/faces.sh [QUALITY]
#
# Leaves target/cuda/faces.tar.xz: lfw112, bollywood112 and splits with the identities that are trained on and verified with,
# images as JPEG of QUALITY [65]. None of it belongs into the project.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
data=${ARCFACE_DATA:?expected the folder of the data sets} quality=${1:-65}
faces=$root/target/cuda/faces
rm -rf "$faces" && mkdir -p "$faces"
cp -r "$data/splits" "$faces/splits" && chmod -R u+w "$faces"

# A pair is a name and two numbers, or twice a name and a number.
pairs=$data/splits/lfw_folds9_10_pairs.txt
{ cat "$data/splits/lfw_train_identities.txt" && awk 'NF == 3 { print $1 } NF == 4 { print $1; print $3 }' "$pairs"; } |
    sort -u >"$faces/lfw_identities.txt"
convert() { (cd "$root" && cargo xtask data convert "$data/$1" "$faces/$1" --identities "$2" --quality "$quality"); }
convert lfw112 "$faces/lfw_identities.txt"
convert bollywood112 "$data/splits/bollywood_not_in_lfw.txt"
# What all JPEG files begin with is squeezed away.
tar -C "$root/target/cuda" -c faces | xz -T2 -3 >"$faces.tar.xz"
du -h "$faces.tar.xz"
