import { describe, expect, it } from "vitest";

import { InputError } from "../src/echoes/errors";
import { applyOptions, knownMedia, makePlan, numMasked } from "../src/echoes/plan";
import { Grid, TokenLayout, type Sampling } from "../src/echoes/spec";
import { camel } from "./camel";
import { EXPECTED, golden, readJson } from "./fixtures";

const DEFAULTS: Sampling = {
  steps: 12,
  guidanceScale: 3,
  temperature: 1,
  choiceTemperature: 4.5,
  guidanceSchedule: "constant",
  guidanceInterval: [0, 1],
};

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

describe("a plan", () => {
  it("is the Python runtime's for every option", () => {
    for (const expected of readJson(EXPECTED).plans) {
      const plan = makePlan([expected.unknown], { ...DEFAULTS, ...camel(expected.options) });
      expect(plan.keep.map((row) => row[0])).toEqual(expected.keep);
      expect([...plan.choiceTemperature]).toEqual(expected.choice_temperature);
      expect([...plan.guidanceScale]).toEqual(expected.guidance_scale);
    }
  });
});

describe("the condition", () => {
  const layout = new TokenLayout(new Grid(1, 2, 8), new Grid(1, 3, 8));
  it.each([
    ["the picture, if the sound is unknown", [0, 0, 1, 1, 1], [1, 1, 0, 0, 0]],
    ["the sound, if the picture is partly unknown", [0, 1, 0, 0, 0], [0, 0, 1, 1, 1]],
    ["nothing, if both are partly unknown", [1, 0, 0, 0, 1], [0, 0, 0, 0, 0]],
    ["nothing, if nothing is unknown", [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
  ])("is %s", (_, mask, condition) => {
    expect([...knownMedia(Uint8Array.from(mask), layout)]).toEqual(condition);
  });
});

describe("options", () => {
  it.each([0, 136, 1.5, Number.NaN])("of %d steps are refused", (steps) => {
    expect(() => applyOptions(DEFAULTS, 135, { steps })).toThrow(
      new InputError(`steps must be a whole number in [1, 135], got ${steps}`),
    );
  });

  it("of a schedule that there is not are refused", () => {
    const options = { guidanceSchedule: "anealed" as never };
    expect(() => applyOptions(DEFAULTS, 135, options)).toThrow(
      new InputError("guidance_schedule must be one of constant, annealed, got 'anealed'"),
    );
  });

  it.each([
    { guidanceScale: 101 },
    { temperature: -1 },
    { choiceTemperature: Number.NaN },
    { guidanceInterval: [0.5, 0.2] as const },
  ])("such as %o are refused", (options) => {
    expect(() => applyOptions(DEFAULTS, 100, options)).toThrow(InputError);
  });
});
