/** What a generation gives. */

import type { Pixels } from "./image";
import type { Sampling } from "./sampling";

/** Least confidence of a picture that shows what the model knows. */
export const CONFIDENT = 0.5;

/** How something was made: with the same source and bundle it can be made again. */
export interface Made {
  readonly codes: Int32Array;
  readonly seed: bigint;
  readonly sampling: Sampling;
  readonly bundle: string;
  readonly device: string;
  /** Wall-clock time by stage, in the order of the stages. */
  readonly timingsMs: Readonly<Record<string, number>>;
}

export interface Sound extends Made {
  readonly samples: Float32Array;
  readonly sampleRate: number;
  /** Its log-mel (n_mels, T), in [-1, 1]. */
  readonly mel: Float32Array;
  /**
   * Of a sound made from a picture: how surely that shows what the model knows, in [0, 1]. Below
   * `CONFIDENT` the sound is a guess; without it the bundle cannot tell.
   */
  readonly confidence?: number;
}

export interface Picture extends Made {
  readonly pixels: Pixels;
}

export interface Pair {
  readonly sound: Sound;
  readonly picture: Picture;
}
