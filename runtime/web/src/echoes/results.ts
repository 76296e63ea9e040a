/** What a generation gives, and its sound as a WAV file. */

import type { Pixels } from "./image";
import { clamp, roundHalfEven } from "./numbers";
import type { Sampling } from "./sampling";

/** Least confidence of a picture that shows what the model knows. */
export const CONFIDENT = 0.5;

const HEADER_BYTES = 44;
const SAMPLE_BYTES = 2;
const PCM = 1;

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

/** 16-bit mono WAV of samples in [-1, 1], byte for byte as the Python runtime writes it. */
export function encodeWav(samples: Float32Array, sampleRate: number): ArrayBuffer {
  const buffer = new ArrayBuffer(HEADER_BYTES + SAMPLE_BYTES * samples.length);
  const view = new DataView(buffer);
  const text = (at: number, letters: string) =>
    [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, buffer.byteLength - 8, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format that follows
  view.setUint16(20, PCM, true);
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, SAMPLE_BYTES * sampleRate, true);
  view.setUint16(32, SAMPLE_BYTES, true);
  view.setUint16(34, 8 * SAMPLE_BYTES, true);
  text(36, "data");
  view.setUint32(40, SAMPLE_BYTES * samples.length, true);
  samples.forEach((sample, i) => {
    // The high half of 32 bits, as libsndfile has it.
    const whole = Math.floor(roundHalfEven(sample * 2 ** 31) / 2 ** 16);
    view.setInt16(HEADER_BYTES + SAMPLE_BYTES * i, clamp(whole, -(2 ** 15), 2 ** 15 - 1), true);
  });
  return buffer;
}
