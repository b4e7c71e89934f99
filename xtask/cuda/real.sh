#!/usr/bin/env bash
# Trains on real faces on a machine with a GPU and without cargo, and says how well, how fast and in what memory.
#
#   xtask/cuda/real.sh PACK FACES
#
# PACK is the folder that pack.sh made or its archive, FACES what faces.sh made.
#   OUT     folder for what is left: summary.json, metrics.jsonl, report.html and the log [real]
#   SET     values of the configuration over those below, such as "train.epochs=1 device=cpu"
#   PYTHON  a Python with PyTorch, whose wheels bring CUDA's libraries [python3]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3} out=${OUT:-real}
mkdir -p "$out" && out=$(cd "$out" && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
. "$here/device.sh"
pack=$(unpacked "$1" pack "$work") faces=$(unpacked "$2" faces "$work")
shift 2

found=$(libraries) || found=''
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$found ARCFACE_DATA=$faces
values="device=cuda:0 precision=bf16 model.backbone=iresnet50 model.embedding_size=512 train.batch_size=128
    train.epochs=40 loss.warmup_steps=600 data.workers=14 ${SET:-}"
for value in $values; do set -- "$@" --set "$value"; done
ended=0
"$pack/xtask" train lfw_actors --runs "$work/runs" --name real "$@" 2>&1 | tee "$out/train.log" || ended=$?
for file in summary.json metrics.jsonl report.html run.json; do
    [ ! -f "$work/runs/real/$file" ] || cp "$work/runs/real/$file" "$out/"
done
exit "$ended"
