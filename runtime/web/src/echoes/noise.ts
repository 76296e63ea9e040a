/** The noise of a run, from its seed alone: Philox4x64-10, as numpy.random.Philox. */

import { InputError } from "./errors";

export const MAX_SEED = 2n ** 64n - 1n;

/** Added to a window's number: the noise of its mel decoder. */
export const MEL_STREAM = 2n ** 63n;

/** Chooses which codes `vary` keeps. */
export const VARY_STREAM = 2n ** 64n - 1n;

const ROUNDS = 10;
const MULTIPLIERS = [0xd2e7470ee14c6c93n, 0xca5a826395121157n] as const;
const WEYL = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn] as const;
const WORD = 64n;

// A uniform is (2 m + 1) / 2^24 for the 23 high bits m of a word: exact in float32, never 0 or 1.
const DROPPED_BITS = 41n;
const MANTISSA = 2 ** -23;

const low = (value: bigint): bigint => BigInt.asUintN(64, value);

/** The four words of a block: its counter is (counter, 0, 0, 0), its key (seed, stream). */
export function philox(counter: bigint, seed: bigint, stream: bigint): bigint[] {
  let [c0, c1, c2, c3] = [counter, 0n, 0n, 0n];
  let [k0, k1] = [seed, stream];
  for (let round = 0; round < ROUNDS; round++) {
    const first = MULTIPLIERS[0] * c0;
    const second = MULTIPLIERS[1] * c2;
    [c0, c1, c2, c3] = [
      (second >> WORD) ^ c1 ^ k0,
      low(second),
      (first >> WORD) ^ c3 ^ k1,
      low(first),
    ];
    k0 = low(k0 + WEYL[0]);
    k1 = low(k1 + WEYL[1]);
  }
  return [c0, c1, c2, c3];
}

/** The first `count` uniforms of a stream, strictly between 0 and 1. */
export function uniforms(seed: bigint, stream: bigint, count: number): Float32Array {
  const noise = new Float32Array(count);
  for (let block = 0; 4 * block < count; block++) {
    philox(BigInt(block + 1), seed, stream).forEach((word, i) => {
      // What lies beyond the end of a typed array is dropped.
      noise[4 * block + i] = (Number(word >> DROPPED_BITS) + 0.5) * MANTISSA;
    });
  }
  return noise;
}

/** A seed as a whole number, or a new one. */
export function checkSeed(seed: bigint | number | undefined): bigint {
  if (seed === undefined) return crypto.getRandomValues(new BigUint64Array(1))[0]!;
  if (typeof seed === "number" && !Number.isSafeInteger(seed)) {
    throw new InputError(`seed must be a whole number, given as a bigint if large, got ${seed}`);
  }
  const whole = BigInt(seed);
  if (whole < 0n || whole > MAX_SEED) {
    throw new InputError(`seed must be in [0, ${MAX_SEED}], got ${whole}`);
  }
  return whole;
}
