import { describe, expect, it } from "vitest";

import { decode } from "../src/echoes/decode";
import { BundleError, CancelledError } from "../src/echoes/errors";
import { uniforms } from "../src/echoes/noise";
import type { Plan } from "../src/echoes/plan";
import { golden } from "./fixtures";

interface Trace {
  seeds: number[];
  mask_token_id: number;
  tokens: number[][];
  condition: number[][];
  plan: {
    keep: number[][];
    temperature: number[];
    choice_temperature: number[];
    guidance_scale: number[];
  };
  decoded: number[][];
}

const { traces, vocab_size } = golden("decode") as { traces: Trace[]; vocab_size: number };

/** Whole numbers in [-4, 4] that depend on every token, so that rounding cannot move them. */
async function mockLogits(tokens: Int32Array, members: number): Promise<Float32Array> {
  const nTokens = tokens.length / members;
  const logits = new Float32Array(tokens.length * vocab_size);
  for (let member = 0; member < members; member++) {
    const own = tokens.subarray(member * nTokens, (member + 1) * nTokens);
    const context = own.reduce((sum, token, m) => sum + token * (2 * m + 1), 0);
    for (let n = 0; n < nTokens; n++) {
      for (let v = 0; v < vocab_size; v++) {
        const value = ((7 * n + 5 * v + 3 * n * v + context) % 9) - 4;
        logits[(member * nTokens + n) * vocab_size + v] = value;
      }
    }
  }
  return logits;
}

function run(
  trace: Trace,
  onStep?: (step: number) => boolean | void,
  logits: typeof mockLogits = mockLogits,
) {
  const nTokens = trace.tokens[0]!.length;
  const tokens = Int32Array.from(trace.tokens.flat());
  const plan: Plan = {
    steps: trace.plan.keep.length,
    keep: trace.plan.keep,
    temperature: Float32Array.from(trace.plan.temperature),
    choiceTemperature: Float32Array.from(trace.plan.choice_temperature),
    guidanceScale: Float32Array.from(trace.plan.guidance_scale),
  };
  const question = {
    members: trace.seeds.length,
    tokens,
    mask: Uint8Array.from(tokens, (token) => (token === trace.mask_token_id ? 1 : 0)),
    condition: Uint8Array.from(trace.condition.flat()),
    maskTokenId: trace.mask_token_id,
    vocabSize: vocab_size,
  };
  const noise = trace.seeds.map((seed) => uniforms(BigInt(seed), 2 * plan.steps * nTokens));
  return decode(logits, question, plan, noise, onStep);
}

describe("the decoding loop", () => {
  it.each(traces.map((trace, i) => [i, trace] as const))("gives golden trace %i", async (_, trace) => {
    expect([...(await run(trace))]).toEqual(trace.decoded.flat());
  });

  it("reports each step, and stops when it is told to", async () => {
    const steps: number[] = [];
    const stopped = run(traces[0]!, (step) => {
      steps.push(step);
      return step < 1;
    });
    await expect(stopped).rejects.toThrow(new CancelledError("cancelled after step 2 of 4"));
    expect(steps).toEqual([0, 1]);
  });

  it.each([Number.NaN, Infinity])("refuses logits that are not numbers: %d", async (wrong) => {
    const logits = async (tokens: Int32Array, members: number) =>
      (await mockLogits(tokens, members)).map((logit, i) => (i % vocab_size === 1 ? wrong : logit));
    await expect(run(traces[0]!, undefined, logits)).rejects.toThrow(
      new BundleError(
        "the step graph gave logits that are not numbers; get the bundle again or use WebAssembly",
      ),
    );
  });

  it("never takes tokens of which the logit is minus infinity", async () => {
    const logits = async (tokens: Int32Array, members: number) =>
      (await mockLogits(tokens, members)).map((logit, i) =>
        i % vocab_size === 1 ? logit : -Infinity,
      );
    const { tokens, mask_token_id } = traces[0]!;
    const wanted = tokens.flat().map((token) => (token === mask_token_id ? 1 : token));
    expect([...(await run(traces[0]!, undefined, logits))]).toEqual(wanted);
  });
});
