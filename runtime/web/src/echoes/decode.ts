/** The decoding loop: graph `decode_*_step`, as often as the plan has steps. */

import type { Tensor } from "onnxruntime-web";

import { CancelledError } from "./errors";
import type { Plan } from "./plan";
import type { Session } from "./session";

/** Called after each step with its 0-based index and their number; false cancels. */
export type OnStep = (step: number, steps: number) => boolean | void | Promise<boolean | void>;

/**
 * Fills in what the plan says in parallel passes; all else never changes.
 *
 * @param graph - `decode_*_step`.
 * @param tokens - (N,) of the target, its mask token where unknown.
 * @param context - What graph `context_*` gave, of one member or of none.
 * @param uniforms - (N,), the noise of each token.
 * @returns (N,) with no mask left.
 * @throws CancelledError if `onStep` returned false.
 */
export async function decode(
  graph: Pick<Session, "input" | "run" | "tensor">,
  tokens: Int32Array,
  context: Tensor,
  plan: Plan,
  uniforms: Float32Array,
  onStep?: OnStep,
): Promise<Int32Array> {
  const steps = plan.positions.length;
  const hasContext = context.dims[0] !== 0;
  const isGuided = graph.input("guidance_scale") !== undefined;
  const drawing = Object.entries(plan.drawing).map(([name, value]) => [
    name,
    graph.tensor(Float32Array.of(value), [1]),
  ]);
  let decoded = graph.tensor(tokens);
  for (const [step, positions] of plan.positions.entries()) {
    const scale = plan.guidanceScale[step]!;
    // Without a context, the branch without it is the only one.
    const scales = scale !== 1 || !hasContext ? [scale] : [];
    const noise = Float32Array.from(positions, (position) => uniforms[position]!);
    const guidance = graph.tensor(Float32Array.from(scales), [scales.length]);
    const outputs = await graph.run({
      tokens: decoded,
      context,
      positions: graph.tensor(positions),
      uniforms: graph.tensor(noise),
      ...Object.fromEntries(drawing),
      ...(isGuided && { guidance_scale: guidance }),
    });
    decoded = outputs["decoded"]!;
    if ((await onStep?.(step, steps)) === false) {
      throw new CancelledError(`cancelled after step ${step + 1} of ${steps}`);
    }
  }
  return (await decoded.getData()) as Int32Array;
}
