/** Makes a long sound, which is seen as it grows. */

import type { EchoesWorker, MelSpec, Pixels, SentOptions, Sound } from "../echoes";
import { showGrowing } from "./show";
import { showShare } from "./work";

export async function makeLong(
  echoes: EchoesWorker,
  asks: { readonly image: Pixels; readonly duration: number },
  options: SentOptions,
  { mel: spec, signal }: { readonly mel: MelSpec; readonly signal: AbortSignal },
): Promise<Sound> {
  const parts: Sound[] = [];
  let nSamples = 0;
  const onProgress = ({ done, total }: { done: number; total: number }) => {
    const seconds = nSamples / spec.sample_rate;
    const detail = `${seconds.toFixed(1)} of ${asks.duration} s, step ${done} of ${total}`;
    showShare(seconds, asks.duration, detail);
  };
  const nFrames = Math.ceil((asks.duration * spec.sample_rate) / spec.hop_length);
  const mel = new Float32Array(spec.n_mels * nFrames).fill(-1); // silence
  for await (const part of echoes.stream(asks, options, { onProgress, signal })) {
    copyFrames(part.mel, mel, spec.n_mels, nSamples / spec.hop_length);
    parts.push(part);
    nSamples += part.samples.length;
    showGrowing(mel, nSamples, spec);
  }
  const samples = new Float32Array(nSamples);
  let at = 0;
  for (const part of parts) {
    samples.set(part.samples, at);
    at += part.samples.length;
  }
  return { ...parts.at(-1)!, samples, mel };
}

/** Copies (rows, T) to the columns of a wider matrix from a frame on. */
function copyFrames(from: Float32Array, to: Float32Array, rows: number, frame: number): void {
  const [part, width] = [from.length / rows, to.length / rows];
  for (let row = 0; row < rows; row++) {
    const frames = from.subarray(row * part, row * part + Math.min(part, width - frame));
    to.set(frames, row * width + frame);
  }
}
