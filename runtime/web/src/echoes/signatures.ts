/** The inputs and outputs that each graph must have. */

import { ManifestError } from "./errors";
import type { ImageSpec, MelSpec, TokenLayout } from "./spec";

export type Dim = number | string;

export interface Tensor {
  readonly dtype: string;
  readonly shape: readonly Dim[];
}

export type Tensors = Readonly<Record<string, Tensor>>;

export interface Signature {
  readonly inputs: Tensors;
  readonly outputs: Tensors;
}

/** The graphs that this program runs; a bundle may have others. */
export const GRAPHS = [
  "image_encoder",
  "image_decoder",
  "mel_encoder",
  "mel_decoder",
  "step",
  "vocoder",
] as const;

export type GraphName = (typeof GRAPHS)[number];

/** What image to audio needs; the others may be missing. */
export const REQUIRED_GRAPHS: readonly GraphName[] = [
  "image_encoder",
  "step",
  "mel_decoder",
  "vocoder",
];

export function graphSignatures(
  image: ImageSpec,
  mel: MelSpec,
  layout: TokenLayout,
): Record<GraphName, Signature> {
  const float = (...shape: Dim[]): Tensor => ({ dtype: "float32", shape: ["batch", ...shape] });
  const int = (...shape: Dim[]): Tensor => ({ dtype: "int32", shape: ["batch", ...shape] });
  const pixels = float(3, image.height, image.width);
  const clip = float(mel.n_mels, mel.n_frames);
  const imageCodes = int(layout.image.nTokens);
  const audioCodes = int(layout.audio.nTokens);
  return {
    image_encoder: { inputs: { image: pixels }, outputs: { codes: imageCodes } },
    image_decoder: { inputs: { codes: imageCodes }, outputs: { image: pixels } },
    mel_encoder: { inputs: { mel: clip }, outputs: { codes: audioCodes } },
    mel_decoder: { inputs: { codes: audioCodes }, outputs: { mel: clip } },
    step: {
      inputs: { tokens: int(layout.nTokens) },
      outputs: { logits: float(layout.nTokens, layout.vocabSize) },
    },
    vocoder: {
      inputs: { mel: float(mel.n_mels, "frames") },
      outputs: { waveform: float("samples") },
    },
  };
}

/** Refuses a graph whose tensors are not those that image, mel and tokens ask for. */
export function checkSignature(name: string, got: Signature, allowed: Signature): void {
  for (const side of ["inputs", "outputs"] as const) {
    const [is, must] = [tensorsText(got[side]), tensorsText(allowed[side])];
    if (is !== must) {
      throw new ManifestError(
        `manifest key graphs.${name}.${side} must be ${must}, as the keys image, mel and tokens ` +
          `say, got ${is}`,
      );
    }
  }
}

function tensorsText(tensors: Tensors): string {
  return Object.entries(tensors)
    .map(([name, tensor]) => `${name} ${tensor.dtype} (${tensor.shape.join(", ")})`)
    .join(", ");
}
