/** The schedule of a run, as data. */

import { InputError } from "./errors";
import { samplingProblem, type Sampling, type TokenLayout } from "./spec";

/** Everything that may change from step to step. */
export interface Plan {
  readonly steps: number;
  /** By step: how many tokens of each member stay masked after it. */
  readonly keep: readonly (readonly number[])[];
  readonly temperature: Float32Array;
  readonly choiceTemperature: Float32Array;
  readonly guidanceScale: Float32Array;
}

/** Fraction of tokens still masked: 1 at progress 0, 0 at 1 (MaskGIT, section 3.3). */
export function maskRatio(progress: number): number {
  return Math.cos(0.5 * Math.PI * progress);
}

/** How many of `nTokens` are left masked after each of `steps` steps; strictly falling to 0. */
export function numMasked(nTokens: number, steps: number): number[] {
  if (steps < 1 || steps > nTokens) {
    throw new RangeError(`steps must be in [1, ${nTokens}], got ${steps}`);
  }
  const counts: number[] = [];
  let left = nTokens;
  for (let step = 1; step <= steps; step++) {
    const wanted = Math.floor(nTokens * maskRatio(step / steps));
    left = Math.max(steps - step, Math.min(left - 1, wanted));
    counts.push(left);
  }
  return counts;
}

/** The plan for members of which so many tokens each are unknown. */
export function makePlan(unknown: readonly number[], sampling: Sampling): Plan {
  const { steps } = sampling;
  const counts = unknown.map((n) => (n > 0 ? numMasked(n, Math.min(steps, n)) : []));
  const byStep = Array.from({ length: steps }, (_, step) => step);
  return {
    steps,
    keep: byStep.map((step) => counts.map((member) => member[step] ?? 0)),
    temperature: new Float32Array(steps).fill(sampling.temperature),
    choiceTemperature: Float32Array.from(
      byStep,
      (step) => sampling.choiceTemperature * (1 - (step + 1) / steps),
    ),
    guidanceScale: Float32Array.from(byStep, (step) => guidanceScale(sampling, step / steps)),
  };
}

function guidanceScale(sampling: Sampling, progress: number): number {
  const [start, stop] = sampling.guidanceInterval;
  if (progress < start || progress >= stop) return 1;
  const excess = sampling.guidanceScale - 1;
  return 1 + (sampling.guidanceSchedule === "annealed" ? excess * maskRatio(progress) : excess);
}

/**
 * The condition to guide by: every medium of which all is known, if something else is not.
 *
 * @returns 1 where the unconditional branch sees a mask token instead.
 */
export function knownMedia(mask: Uint8Array, layout: TokenLayout): Uint8Array {
  const condition = new Uint8Array(mask.length);
  const isAsking = mask.includes(1);
  const split = layout.image.nTokens;
  for (const [start, stop] of [
    [0, split],
    [split, layout.nTokens],
  ] as const) {
    if (isAsking && !mask.subarray(start, stop).includes(1)) condition.fill(1, start, stop);
  }
  return condition;
}

/**
 * The bundle's dials with what is given in their place.
 *
 * @param most - Steps that may be asked for: as many as there are tokens.
 * @throws InputError if a value is out of range.
 */
export function applyOptions(
  defaults: Sampling,
  most: number,
  options: Partial<Sampling>,
): Sampling {
  const given = Object.fromEntries(
    Object.entries(options).filter(([name, value]) => name in defaults && value !== undefined),
  ) as Partial<Sampling>;
  const sampling: Sampling = { ...defaults, ...given };
  if (!Number.isInteger(sampling.steps) || sampling.steps < 1 || sampling.steps > most) {
    throw new InputError(`steps must be a whole number in [1, ${most}], got ${sampling.steps}`);
  }
  const problem = samplingProblem(sampling);
  if (problem) throw new InputError(problem);
  return sampling;
}
