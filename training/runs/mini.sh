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

echoes-train image-vqgan --index "$index" --out "$work/image" --resume &
image=$!
echoes-train mel-vqgan --index "$index" --out "$work/mel" --resume
wait $image
if [ ! -e "$work/tokens.safetensors" ]; then
  echoes-train tokenize --index "$index" --image-vqgan "$work/image" --mel-vqgan "$work/mel" \
    --audio-views 6 --unpaired-views 1 --out "$work/tokens.safetensors"
fi

# The refined decoder has the codes of the codec that it comes from, so both sides go on at once.
echoes-train transformer --tokens "$work/tokens.safetensors" --out "$work/transformer" --resume &
transformer=$!
echoes-train refine-mel --codec "$work/mel" --index "$index" --out "$work/mel-refined" \
  --set loop.steps=1800 --resume
echoes-train refine-image --codec "$work/image" --index "$index" --out "$work/image-refined" \
  --set decoder_channels=64,128,192 --set shift=3 --set adversarial_start=1700 \
  --set loop.steps=2600 --set loop.batch_size=16 --set loop.learning_rate=0.001 \
  --set loop.warmup_steps=60 --set loss_weights.adversarial=0.8 --resume
echoes-train vocoder --index "$index" --out "$work/vocoder" --resume
wait $transformer

rm -rf "$work/echoes-mini"
echoes-export bundle --image-vqgan "$work/image-refined" --mel-vqgan "$work/mel-refined" \
  --vocoder "$work/vocoder" --transformer "$work/transformer" --index "$index" \
  --name echoes-mini --description "Sounds and pictures of 18 things: animals, weather, machines and instruments; 5 seconds at 22,050 Hz." \
  --model-card "$(dirname "$0")/echoes-mini.md" --sampling steps=8 \
  --sampling guidance_scale=3 --sampling guidance_interval=0,0.5 --out "$work/echoes-mini"
echoes-train evaluate --bundle "$work/echoes-mini" --index "$index" --cache "$work/judge" \
  --out "$work/evaluation.json" --sheet "$work/sheet.png"
