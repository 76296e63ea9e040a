import { describe, expect, it } from "vitest";

import { InputError } from "../src/echoes/errors";
import { checkSeed, MAX_SEED, uniforms } from "../src/echoes/noise";
import { EXPECTED, floats, golden, readJson } from "./fixtures";

describe("noise", () => {
  it.each(golden("noise").streams as { seed: string; steps: number; n_tokens: number }[])(
    "of seed $seed is numpy's",
    (stream) => {
      const { seed, steps, n_tokens } = stream;
      const got = uniforms(BigInt(seed), 2 * steps * n_tokens);
      const { uniforms_times_2_24 } = stream as unknown as { uniforms_times_2_24: number[] };
      expect([...got].map((u) => u * 2 ** 24)).toEqual(uniforms_times_2_24);
    },
  );

  it("of another window is numpy's", () => {
    const { seed, window, uniforms: packed } = readJson(EXPECTED).noise;
    expect(uniforms(BigInt(seed), 2 * 37, BigInt(window))).toEqual(floats(packed));
  });

  it("does not change where it begins with how long it is", () => {
    expect(uniforms(3n, 7)).toEqual(uniforms(3n, 100).slice(0, 7));
  });
});

describe("a seed", () => {
  it.each([-1n, MAX_SEED + 1n, 1.5, Number.NaN, 2 ** 60])("of %s is refused", (seed) => {
    expect(() => checkSeed(seed)).toThrow(InputError);
  });

  it("is drawn if there is none", () => {
    expect(checkSeed(undefined)).not.toBe(checkSeed(undefined));
    expect(checkSeed(5)).toBe(5n);
  });
});
