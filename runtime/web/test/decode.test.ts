import { Tensor } from "onnxruntime-web";
import { describe, expect, it } from "vitest";

import { decode, type OnStep } from "../src/echoes/decode";
import { CancelledError } from "../src/echoes/errors";
import type { Plan } from "../src/echoes/plan";
import type { Tensors } from "../src/echoes/session";

const MASK = 9;
const TOKENS = Int32Array.of(7, MASK, MASK, MASK);
const UNIFORMS = Float32Array.of(0.125, 0.25, 0.5, 0.75);
const PLAN: Plan = {
  positions: [Int32Array.of(3), Int32Array.of(1, 2)],
  drawing: { temperature: 0.5 },
  guidanceScale: Float32Array.of(3, 1),
};
const SEEN = new Tensor("float32", new Float32Array(2), [1, 2]);
const NOTHING = new Tensor("float32", new Float32Array(0), [0, 2]);

const ANY = { name: "any", isTensor: true, type: "float32", shape: [] } as const;

type Asked = Record<string, { data: number[]; dims: readonly number[] }>;

/** Runs the loop on a graph that draws position for token, and notes what it is asked. */
async function run(
  context: Tensor,
  onStep?: OnStep,
  isFolded = false,
): Promise<[Int32Array, Asked[]]> {
  const asked: Asked[] = [];
  const tensor = (values: Float32Array | Int32Array, dims: readonly number[] = [1, values.length]) =>
    values instanceof Int32Array
      ? new Tensor("int32", values, dims)
      : new Tensor("float32", values, dims);
  const graph = {
    tensor,
    input: (name: string) => (isFolded && name === "guidance_scale" ? undefined : ANY),
    async run(inputs: Tensors): Promise<Tensors> {
      asked.push(
        Object.fromEntries(
          Object.entries(inputs).map(([name, { data, dims }]) => [
            name,
            { data: [...(data as Float32Array)], dims },
          ]),
        ),
      );
      const tokens = (inputs["tokens"]!.data as Int32Array).slice();
      for (const position of inputs["positions"]!.data as Int32Array) tokens[position] = position;
      return { decoded: tensor(tokens, [1, tokens.length]) };
    },
  };
  return [await decode(graph, TOKENS, context, PLAN, UNIFORMS, onStep), asked];
}

describe("the decoding loop", () => {
  it("gives each step what the one before it decoded, and its share of plan and noise", async () => {
    const [decoded, [first, second]] = await run(SEEN);
    expect([...decoded]).toEqual([7, 1, 2, 3]);
    expect(first!["tokens"]).toEqual({ data: [...TOKENS], dims: [1, 4] });
    expect(first!["positions"]).toEqual({ data: [3], dims: [1, 1] });
    expect(first!["uniforms"]).toEqual({ data: [0.75], dims: [1, 1] });
    expect(first!["context"]!.dims).toEqual([1, 2]);
    expect(first!["temperature"]).toEqual({ data: [0.5], dims: [1] });
    expect(second!["tokens"]!.data).toEqual([7, MASK, MASK, 3]);
    expect(second!["positions"]).toEqual({ data: [1, 2], dims: [1, 2] });
    expect(second!["uniforms"]!.data).toEqual([0.25, 0.5]);
  });

  it("asks for the branch without context where guidance counts, or there is no context", async () => {
    const scales = async (context: Tensor) =>
      (await run(context))[1].map((inputs) => inputs["guidance_scale"]!.data);
    expect(await scales(SEEN)).toEqual([[3], []]);
    expect(await scales(NOTHING)).toEqual([[3], [1]]);
  });

  it("asks a graph that guidance is folded into for no scale", async () => {
    for (const context of [SEEN, NOTHING]) {
      const [decoded, asked] = await run(context, undefined, true);
      expect([...decoded]).toEqual([7, 1, 2, 3]);
      for (const inputs of asked) expect(inputs).not.toHaveProperty("guidance_scale");
    }
  });

  it("reports each step, and stops when it is told to", async () => {
    const steps: [number, number][] = [];
    await run(SEEN, (step, count) => void steps.push([step, count]));
    expect(steps).toEqual([
      [0, 2],
      [1, 2],
    ]);
    await expect(run(SEEN, (step) => step > 0)).rejects.toThrow(CancelledError);
  });
});
