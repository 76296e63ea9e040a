/** The schedule of a run, as data. */

import { drawingOf, type Sampling } from "./sampling";

/** What each step draws, and how. */
export interface Plan {
  /** By step: the positions that it draws, at least one. */
  readonly positions: readonly Int32Array[];
  /** The settings by which a token is drawn, by the names of the graphs' inputs. */
  readonly drawing: Readonly<Record<string, number>>;
  /** By step; one at 1 needs no branch without context. */
  readonly guidanceScale: Float32Array;
}

/** Fraction of tokens still masked: 1 at progress 0, 0 at 1 (MaskGIT, section 3.3). */
function maskRatio(progress: number): number {
  return Math.cos(0.5 * Math.PI * progress);
}

/** How many of `nTokens` are left masked after each of `steps` steps; strictly falling to 0. */
export function numMasked(nTokens: number, steps: number): number[] {
  const counts: number[] = [];
  let left = nTokens;
  for (let step = 1; step <= steps; step++) {
    const wanted = Math.floor(nTokens * maskRatio(step / steps));
    left = Math.max(steps - step, Math.min(left - 1, wanted));
    counts.push(left);
  }
  return counts;
}

/**
 * The plan for filling in what is unknown.
 *
 * @param unknown - Positions in the order in which they are drawn.
 * @param sampling - Of at most as many steps as there are such positions.
 */
export function makePlan(unknown: readonly number[], sampling: Sampling): Plan {
  const { steps } = sampling;
  const count = unknown.length;
  const bounds = [0, ...numMasked(count, steps).map((left) => count - left)];
  const byStep = Array.from({ length: steps }, (_, step) => step);
  return {
    positions: byStep.map((step) => Int32Array.from(unknown.slice(bounds[step], bounds[step + 1]))),
    drawing: drawingOf(sampling),
    guidanceScale: Float32Array.from(byStep, (step) => guidanceScale(sampling, step / steps)),
  };
}

function guidanceScale(sampling: Sampling, progress: number): number {
  const [start, stop] = sampling.guidanceInterval;
  if (progress < start || progress >= stop) return 1;
  const excess = sampling.guidanceScale - 1;
  return 1 + (sampling.guidanceSchedule === "annealed" ? excess * maskRatio(progress) : excess);
}
