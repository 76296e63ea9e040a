import { Tensor } from "onnxruntime-web";
import { describe, expect, it } from "vitest";

import { decode } from "../src/echoes/decode";
import { InputError } from "../src/echoes/errors";
import { checkSeed, MAX_SEED } from "../src/echoes/noise";
import { numMasked, type Plan } from "../src/echoes/plan";
import type { Tensors } from "../src/echoes/session";
import { golden } from "./fixtures";

const TOKENS = Int32Array.of(7, 9, 9, 9);
const UNIFORMS = Float32Array.of(0.125, 0.25, 0.5, 0.75);
const PLAN: Plan = {
  positions: [Int32Array.of(3), Int32Array.of(1, 2)],
  drawing: { temperature: 0.5 },
  guidanceScale: Float32Array.of(3, 1),
};
const SEEN = new Tensor("float32", new Float32Array(2), [1, 2]);
const NOTHING = new Tensor("float32", new Float32Array(0), [0, 2]);

const ANY = { name: "any", isTensor: true, type: "float32", shape: [] } as const;

/** Runs the loop on a graph that draws nothing; the scales of guidance that its steps were given. */
async function scales(context: Tensor, isFolded: boolean): Promise<(number[] | undefined)[]> {
  const asked: (number[] | undefined)[] = [];
  const graph = {
    tensor: (values: Float32Array | Int32Array, dims: readonly number[] = [1, values.length]) =>
      values instanceof Int32Array
        ? new Tensor("int32", values, dims)
        : new Tensor("float32", values, dims),
    input: (name: string) => (isFolded && name === "guidance_scale" ? undefined : ANY),
    async run(inputs: Tensors): Promise<Tensors> {
      const scale = inputs["guidance_scale"];
      asked.push(scale && [...(scale.data as Float32Array)]);
      return { decoded: inputs["tokens"]! };
    },
  };
  await decode(graph, TOKENS, context, PLAN, UNIFORMS);
  return asked;
}

describe("the decoding loop", () => {
  it("asks for the branch without context where guidance counts, or there is no context", async () => {
    expect(await scales(SEEN, false)).toEqual([[3], []]);
    expect(await scales(NOTHING, false)).toEqual([[3], [1]]);
  });

  it("asks a graph that guidance is folded into for no scale", async () => {
    for (const context of [SEEN, NOTHING]) {
      expect(await scales(context, true)).toEqual([undefined, undefined]);
    }
  });
});

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
