import { describe, expect, it } from "vitest";

import { InputError } from "../src/echoes/errors";
import { applyOptions, type Sampling } from "../src/echoes/sampling";
import { ruleOf } from "../src/echoes/schema";

const DEFAULTS: Sampling = {
  steps: 12,
  guidanceScale: 3,
  temperature: 1,
  guidanceSchedule: "constant",
  guidanceInterval: [0, 1],
};

describe("options", () => {
  it("take the place of the bundle's sampling where they are given", () => {
    const given = { steps: 5, temperature: undefined, seed: 7n } as unknown as Partial<Sampling>;
    expect(applyOptions(DEFAULTS, given)).toEqual({ ...DEFAULTS, steps: 5 });
  });

  it("have the ranges of the manifest's schema", () => {
    const { maximum } = ruleOf("sampling", "steps");
    expect(applyOptions(DEFAULTS, { steps: maximum! }).steps).toBe(maximum);
    expect(() => applyOptions(DEFAULTS, { steps: maximum! + 1 })).toThrow(InputError);
  });

  it("have no guidance scale where guidance is folded into the model", () => {
    const folded: Sampling = { ...DEFAULTS, guidanceScale: 1, guidance: "folded" };
    expect(applyOptions(folded, { guidanceScale: 1, steps: 2 })).toEqual({ ...folded, steps: 2 });
    expect(() => applyOptions(folded, { guidanceScale: 3 })).toThrow(InputError);
    expect(() => applyOptions(folded, { guidanceScale: 3 })).toThrow("guidanceScale");
  });

  it.each([
    { steps: 0 },
    { steps: 1.5 },
    { steps: Number.NaN },
    { guidanceScale: 101 },
    { temperature: -1 },
    { temperature: Number.NaN },
    { guidanceSchedule: "anealed" as never },
    { guidanceInterval: [0.5, 0.2] as const },
    { guidanceInterval: [0.5] as never },
  ])("such as %o are refused by name", (options) => {
    const apply = () => applyOptions(DEFAULTS, options);
    expect(apply).toThrow(InputError);
    expect(apply).toThrow(Object.keys(options)[0]);
  });
});
