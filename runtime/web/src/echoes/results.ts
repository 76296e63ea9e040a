/** What a generation gives. */

import type { Pixels } from "./image";
import type { Sampling } from "./sampling";

/** How something was made: with the same source and bundle it can be made again. */
export interface Made {
  readonly codes: Int32Array;
  readonly seed: bigint;
  readonly sampling: Sampling;
  readonly bundle: string;
  readonly device: string;
  /** How well the model knows the picture, in [0, 1], where its bundle can tell; below 0.5: not. */
  readonly confidence?: number;
  /** Wall-clock time by stage, in the order of the stages. */
  readonly timingsMs: Readonly<Record<string, number>>;
}

export interface Sound extends Made {
  readonly samples: Float32Array;
  readonly sampleRate: number;
  /** Its log-mel (n_mels, T), in [-1, 1]. */
  readonly mel: Float32Array;
}

export interface Picture extends Made {
  readonly pixels: Pixels;
}

export interface Pair {
  readonly sound: Sound;
  readonly picture: Picture;
}
