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
  /** `folded`: it is in the weights, so that the scale is 1 and cannot be chosen. */
  readonly guidance?: "scale" | "folded";
}

/** What can be chosen. */
export type Dials = Omit<Sampling, "guidance">;

/** The manifest's names. */
const KEYS: Record<keyof Dials, string> = {
  steps: "steps",
  guidanceScale: "guidance_scale",
  temperature: "temperature",
  guidanceSchedule: "guidance_schedule",
  guidanceInterval: "guidance_interval",
};
const NAMES = Object.keys(KEYS) as (keyof Dials)[];

/** The settings by which a token is drawn, by the names of the graphs' inputs. */
export function drawingOf(sampling: Sampling): Record<string, number> {
  return { temperature: sampling.temperature };
}

/** What a manifest recommends, checked by its schema; throws a BrokenRule for what that cannot say. */
export function readSampling(data: Readonly<Record<string, unknown>>): Sampling {
  const values = Object.fromEntries(NAMES.map((name) => [name, data[KEYS[name]]]));
  const sampling = { ...values, guidance: data["guidance"] } as unknown as Sampling;
  return consistent(sampling, (name) => `sampling.${KEYS[name]}`);
}

/**
 * The bundle's sampling with what is given in its place.
 *
 * @throws InputError if a value is out of range.
 */
export function applyOptions(defaults: Sampling, options: Partial<Dials>): Sampling {
  const given = NAMES.filter((name) => options[name] !== undefined);
  try {
    const values = given.map((name) => [
      name,
      check(options[name], ruleOf("sampling", KEYS[name]), name),
    ]);
    return consistent({ ...defaults, ...Object.fromEntries(values) }, (name) => name);
  } catch (error) {
    throw error instanceof BrokenRule ? new InputError(error.message) : error;
  }
}

/** The sampling, unless it breaks a rule that the schema cannot say; `keyOf` names a dial. */
function consistent(sampling: Sampling, keyOf: (name: keyof Dials) => string): Sampling {
  const { guidance, guidanceInterval, guidanceScale } = sampling;
  const [start, stop] = guidanceInterval;
  if (start > stop) {
    throw BrokenRule.wrong(keyOf("guidanceInterval"), [start, stop], "two rising numbers");
  }
  if (guidance === "folded" && guidanceScale !== 1) {
    const allowed = "1 where guidance is folded into the model";
    throw BrokenRule.wrong(keyOf("guidanceScale"), guidanceScale, allowed);
  }
  return sampling;
}

/** For people. */
export function described(sampling: Sampling): string {
  const [start, stop] = sampling.guidanceInterval.map((share) => `${Math.round(100 * share)} %`);
  const guidance =
    sampling.guidance === "folded"
      ? "guidance folded in"
      : `guidance ${sampling.guidanceScale}, ${sampling.guidanceSchedule}, ` +
        `from ${start} to ${stop} of the steps`;
  return (
    `${sampling.steps} step${sampling.steps === 1 ? "" : "s"}; ${guidance}; ` +
    `temperature ${sampling.temperature}`
  );
}
