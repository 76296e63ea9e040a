import { describe, expect, it } from "vitest";

import { InputError } from "../src/echoes/errors";
import { checkSeed, MAX_SEED, uniforms } from "../src/echoes/noise";
import { golden } from "./fixtures";

describe("noise", () => {
  it.each(golden("noise").streams as { seed: string; stream: string }[])(
    "of seed $seed and stream $stream is numpy's",
    (item) => {
      const { uniforms_times_2_24: wanted } = item as unknown as { uniforms_times_2_24: number[] };
      const got = uniforms(BigInt(item.seed), BigInt(item.stream), wanted.length);
      expect([...got].map((u) => u * 2 ** 24)).toEqual(wanted);
    },
  );

  it("does not change where it begins with how long it is", () => {
    expect(uniforms(3n, 0n, 7)).toEqual(uniforms(3n, 0n, 100).slice(0, 7));
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
