import { describe, expect, it } from "vitest";

import { InputError } from "../src/echoes/errors";
import { checkSeed, MAX_SEED, uniforms } from "../src/echoes/noise";
import { makePlan, numMasked } from "../src/echoes/plan";
import type { Sampling } from "../src/echoes/sampling";
import { camel, golden } from "./fixtures";

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

interface Golden {
  name: string;
  mask: number[][];
  sampling: Record<string, unknown>;
  positions: number[][][];
  temperature: number[];
  guidance_scale: number[];
}

const { order, plans } = golden("plan") as { order: number[]; plans: Golden[] };

/** What a member of a golden plan draws in each step in which it draws anything. */
function drawn(plan: Golden, member: number): number[][] {
  return plan.positions
    .map((step) => step[member]!.filter((position) => position < order.length))
    .filter((positions) => positions.length > 0);
}

describe("a plan", () => {
  it.each(plans)("of a mask '$name' with $sampling is the golden one", (item) => {
    const sampling = camel(item.sampling) as unknown as Sampling;
    for (const [member, mask] of item.mask.entries()) {
      const unknown = order.filter((position) => mask[position]);
      const steps = Math.min(sampling.steps, unknown.length);
      const plan = makePlan(unknown, { ...sampling, steps });
      expect(plan.positions.map((positions) => [...positions])).toEqual(drawn(item, member));
      // Here every step draws; there a member with few unknown tokens rests in the last ones.
      if (steps === sampling.steps) expect([...plan.guidanceScale]).toEqual(item.guidance_scale);
      expect(item.temperature).toContain(plan.drawing["temperature"]);
    }
  });
});

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
