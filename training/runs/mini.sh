#!/usr/bin/env bash
# Trains a model like the bundled echoes-mini from the raw folders.
#
#   training/runs/mini.sh MEDIA WORK
#
# MEDIA holds caltech101/, esc10/, sounds/, sounds.csv and classes.csv (docs/train.md says where
# they come from); a label may have several rows in classes.csv.
# WORK gets the index, the runs and the bundle. Run it again after an interruption: every part
# goes on where it stopped.
set -euo pipefail
[ $# -eq 2 ] || { sed -n '2,9p' "$0" >&2; exit 2; }
media=$1 work=$2
# However this ends, no training goes on behind it, which the next run would train beside.
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # two trainings run side by side, a core each
mkdir -p "$work"

if [ ! -e "$work/data/index.jsonl" ]; then
  echoes-train prepare media --caltech "$media/caltech101" --esc10 "$media/esc10" \
    --sounds "$media/sounds.csv" --classes "$media/classes.csv" --out "$work/data"
fi
index=$work/data/index.jsonl

# Every training takes about a core. The codecs' codes are what the transformer waits for.
echoes-train image-codec --index "$index" --out "$work/image" --resume=auto &
image=$!
echoes-train mel-codec --index "$index" --out "$work/mel" --resume=auto
wait $image
echoes-train vocoder --index "$index" --out "$work/vocoder" --resume=auto &
vocoder=$!
if [ ! -e "$work/tokens.safetensors" ]; then
  echoes-train tokenize --index "$index" --image-codec "$work/image" --mel-codec "$work/mel" \
    --out "$work/tokens.safetensors"
fi
if [ ! -e "$work/confidence.safetensors" ]; then
  echoes-train confidence --codec "$work/image" --index "$index" \
    --out "$work/confidence.safetensors"
fi
echoes-train transformer --tokens "$work/tokens.safetensors" --out "$work/transformer" --resume=auto
echoes-train distill --teacher "$work/transformer" --tokens "$work/tokens.safetensors" \
  --out "$work/student" --resume=auto
wait $vocoder
echoes-train mel-decoder --index "$index" --codec "$work/mel" --out "$work/mel-decoder" \
  --resume=auto

rm -rf "$work/echoes-mini"
echoes-export bundle --image-codec "$work/image" --mel-codec "$work/mel-decoder" \
  --vocoder "$work/vocoder" --transformer "$work/student" --index "$index" \
  --confidence "$work/confidence.safetensors" \
  --name echoes-mini --description "Sounds and pictures of 30 things: animals, weather, machines and instruments; 5 seconds at 22,050 Hz." \
  --model-card "$(dirname "$0")/echoes-mini.md" --sampling steps=8 \
  --out "$work/echoes-mini"
echoes-train evaluate --bundle "$work/echoes-mini" --index "$index" --cache "$work/judge" \
  --out "$work/evaluation.json" --sheet "$work/sheet.png"
