import { describe, expect, it } from "vitest";

import { InputError } from "../src/echoes/errors";
import { checkSeed, MAX_SEED } from "../src/echoes/noise";
import { numMasked } from "../src/echoes/plan";
import { golden } from "./fixtures";

describe("the schedule", () => {
  it.each(golden("schedule").num_masked as { n_tokens: number; steps: number; kept: number[] }[])(
    "of $n_tokens tokens in $steps steps is the golden one",
    ({ n_tokens, steps, kept }) => expect(numMasked(n_tokens, steps)).toEqual(kept),
  );

  it("falls strictly to 0 for every number of steps", () => {
    for (let n = 1; n < 120; n++) {
      for (let steps = 1; steps <= n; steps++) {
        const counts = [n, ...numMasked(n, steps)];
        expect(counts.at(-1)).toBe(0);
        expect(counts.every((count, i) => i === 0 || count < counts[i - 1]!)).toBe(true);
      }
    }
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
