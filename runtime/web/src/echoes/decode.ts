/** The decoding loop, one call of the step graph per step; docs/format.md says it in words. */

import { BundleError, CancelledError } from "./errors";
import type { Plan } from "./plan";

/** (members, N) tokens to (members, N, V) logits. */
export type LogitsFn = (tokens: Int32Array, members: number) => Promise<Float32Array>;

/** Called after each step with its 0-based index and their number; false cancels. */
export type OnStep = (step: number, steps: number) => boolean | void | Promise<boolean | void>;

/** What is asked: B members of N tokens each, one after the other. */
export interface Question {
  readonly members: number;
  /** (B, N); what it holds where unknown does not matter. */
  readonly tokens: Int32Array;
  /** (B, N), 1 where unknown. */
  readonly mask: Uint8Array;
  /** (B, N), 1 where the unconditional branch of guidance sees a mask token. */
  readonly condition: Uint8Array;
  readonly maskTokenId: number;
  readonly vocabSize: number;
}

interface Choice {
  readonly position: number;
  readonly token: number;
  readonly confidence: number;
}

// Takes the place of -inf, so that differences of logits are never NaN.
const LOGIT_FLOOR = -1e30;

/**
 * Fills in every unknown token in `plan.steps` parallel passes; known ones never change.
 *
 * Logits and guidance are float32, all else float64, so that no library's last bit decides.
 *
 * @param noise - Of each member, `2 * steps * N` uniforms.
 * @returns (B, N) with no mask left.
 * @throws CancelledError; BundleError if logits are not numbers.
 */
export async function decode(
  logitsFn: LogitsFn,
  question: Question,
  plan: Plan,
  noise: readonly Float32Array[],
  onStep?: OnStep,
): Promise<Int32Array> {
  const { members, maskTokenId } = question;
  const nTokens = question.tokens.length / members;
  const mask = question.mask.slice();
  const tokens = question.tokens.map((token, i) => (mask[i] ? maskTokenId : token));
  for (let step = 0; step < plan.steps; step++) {
    if (mask.includes(1)) {
      const guided = await guidedLogits(logitsFn, question, tokens, plan.guidanceScale[step]!);
      for (let member = 0; member < members; member++) {
        const [start, stop] = [member * nTokens, (member + 1) * nTokens];
        const choices = drawAll(guided, mask.subarray(start, stop), start, {
          vocabSize: question.vocabSize,
          temperature: plan.temperature[step]!,
          choiceTemperature: plan.choiceTemperature[step]!,
          draws: noise[member]!.subarray(2 * step * nTokens, (2 * step + 1) * nTokens),
          ranks: noise[member]!.subarray((2 * step + 1) * nTokens, (2 * step + 2) * nTokens),
        });
        // The least confident are masked again; sorting is stable: of equals, those that come first.
        const order = choices.toSorted((a, b) => a.confidence - b.confidence);
        const keep = plan.keep[step]![member]!;
        order.forEach(({ position, token }, rank) => {
          mask[start + position] = rank < keep ? 1 : 0;
          tokens[start + position] = rank < keep ? maskTokenId : token;
        });
      }
    }
    if ((await onStep?.(step, plan.steps)) === false) {
      throw new CancelledError(`cancelled after step ${step + 1} of ${plan.steps}`);
    }
  }
  return tokens;
}

/** Logits by row, or those of both branches and the scale between them. */
interface Guided {
  readonly conditional: Float32Array;
  readonly unconditional: Float32Array | undefined;
  readonly scale: number;
}

async function guidedLogits(
  logitsFn: LogitsFn,
  question: Question,
  tokens: Int32Array,
  scale: number,
): Promise<Guided> {
  const { members, condition, maskTokenId } = question;
  if (scale === 1 || !condition.includes(1)) {
    const conditional = await logitsFn(tokens, members);
    return { conditional, unconditional: undefined, scale };
  }
  // Both branches go through the graph as one batch.
  const branches = new Int32Array(2 * tokens.length);
  branches.set(tokens);
  branches.set(
    tokens.map((token, i) => (condition[i] ? maskTokenId : token)),
    tokens.length,
  );
  const logits = await logitsFn(branches, 2 * members);
  return {
    conditional: logits.subarray(0, logits.length / 2),
    unconditional: logits.subarray(logits.length / 2),
    scale,
  };
}

interface DrawOptions {
  readonly vocabSize: number;
  readonly temperature: number;
  readonly choiceTemperature: number;
  readonly draws: Float32Array;
  readonly ranks: Float32Array;
}

/** A token and its confidence for each unknown position of one member. */
function drawAll(
  guided: Guided,
  mask: Uint8Array,
  firstRow: number,
  options: DrawOptions,
): Choice[] {
  const logits = new Float32Array(options.vocabSize);
  const cumulative = new Float64Array(options.vocabSize);
  const choices: Choice[] = [];
  mask.forEach((isUnknown, position) => {
    if (!isUnknown) return;
    mixRow(guided, firstRow + position, logits);
    const { temperature } = options;
    const [token, logProb] = draw(logits, temperature, options.draws[position]!, cumulative);
    const gumbel = -Math.log(-Math.log(options.ranks[position]!));
    // Rounded to float32: what is equal but for the order of a sum is equal.
    const confidence = Math.fround(logProb + options.choiceTemperature * gumbel);
    choices.push({ position, token, confidence });
  });
  return choices;
}

/** One row of logits, u + s (c - u), every operation in float32. */
function mixRow(guided: Guided, row: number, mixed: Float32Array): void {
  const { conditional, unconditional, scale } = guided;
  const start = row * mixed.length;
  for (let v = 0; v < mixed.length; v++) {
    const c = Math.max(conditional[start + v]!, LOGIT_FLOOR);
    if (unconditional) {
      const u = Math.fround(Math.max(unconditional[start + v]!, LOGIT_FLOOR));
      mixed[v] = u + Math.fround(scale * Math.fround(Math.fround(c) - u));
    } else {
      mixed[v] = c;
    }
  }
}

/** A token by inverse CDF, and its log-probability at temperature 1. */
function draw(
  logits: Float32Array,
  temperature: number,
  uniform: number,
  cumulative: Float64Array,
): [token: number, logProb: number] {
  let best = 0;
  for (let v = 1; v < logits.length; v++) if (logits[v]! > logits[best]!) best = v;
  const highest = logits[best]!;
  let total = 0; // at temperature 1
  let weight = 0; // at the temperature that is asked for
  for (let v = 0; v < logits.length; v++) {
    const belowBest = Math.fround(logits[v]! - highest);
    const share = Math.exp(belowBest);
    total += share;
    if (temperature !== 0) weight += temperature === 1 ? share : Math.exp(belowBest / temperature);
    cumulative[v] = weight;
  }
  if (!Number.isFinite(total)) {
    throw new BundleError(
      "the step graph gave logits that are not numbers; get the bundle again or use WebAssembly",
    );
  }
  let token = best;
  if (temperature !== 0) {
    const threshold = uniform * weight;
    token = cumulative.findIndex((sum) => sum >= threshold);
  }
  return [token, Math.fround(logits[token]! - highest) - Math.log(total)];
}
