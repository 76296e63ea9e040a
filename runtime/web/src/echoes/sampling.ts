/** What a user may set of one generation. */

import { InputError } from "./errors";
import { BrokenRule, check, ruleOf } from "./schema";

export interface Sampling {
  /** Number of parallel decoding passes. */
  readonly steps: number;
  /** `uncond + s * (cond - uncond)`; 1 is off, and costs half. */
  readonly guidanceScale: number;
  /** Divides the logits before a token is drawn; 0 takes the likeliest. */
  readonly temperature: number;
  readonly guidanceSchedule: "constant" | "annealed";
  /** Shares of the steps between which guidance counts. */
  readonly guidanceInterval: readonly [start: number, stop: number];
}

/** The manifest's names. */
const KEYS: Record<keyof Sampling, string> = {
  steps: "steps",
  guidanceScale: "guidance_scale",
  temperature: "temperature",
  guidanceSchedule: "guidance_schedule",
  guidanceInterval: "guidance_interval",
};
const NAMES = Object.keys(KEYS) as (keyof Sampling)[];

/** What a manifest recommends, checked by its schema; throws a BrokenRule for what that cannot say. */
export function readSampling(data: Readonly<Record<string, unknown>>): Sampling {
  const values = Object.fromEntries(NAMES.map((name) => [name, data[KEYS[name]]]));
  return risingInterval(values as unknown as Sampling, "sampling.guidance_interval");
}

/**
 * The bundle's sampling with what is given in its place.
 *
 * @throws InputError if a value is out of range.
 */
export function applyOptions(defaults: Sampling, options: Partial<Sampling>): Sampling {
  const given = NAMES.filter((name) => options[name] !== undefined);
  try {
    const values = given.map((name) => [
      name,
      check(options[name], ruleOf("sampling", KEYS[name]), name),
    ]);
    return risingInterval({ ...defaults, ...Object.fromEntries(values) }, "guidanceInterval");
  } catch (error) {
    throw error instanceof BrokenRule ? new InputError(error.message) : error;
  }
}

function risingInterval(sampling: Sampling, key: string): Sampling {
  const [start, stop] = sampling.guidanceInterval;
  if (start > stop) throw BrokenRule.wrong(key, [start, stop], "two rising numbers");
  return sampling;
}
