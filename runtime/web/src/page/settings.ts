/** What the fields of the page ask for. */

import { InputError, type SentOptions } from "../echoes";
import { page } from "./elements";
import { numberIn } from "./fields";

const MAX_S = 600; // what a page can well hold, show and save

export function askedSeed(): bigint {
  const text = page.seed.value.trim();
  if (!/^\d{1,20}$/.test(text)) {
    throw new InputError(`the seed must be a whole number from 0 on, got ${text || "nothing"}`);
  }
  return BigInt(text);
}

/** The seed, and what else is set. */
export function askedOptions(): SentOptions {
  const set = (field: HTMLInputElement, option: string, name: string) => {
    const value = numberIn(field, name);
    return value === undefined ? {} : { [option]: value };
  };
  return {
    seed: askedSeed(),
    ...set(page.steps, "steps", "the number of steps"),
    ...set(page.guidance, "guidanceScale", "the guidance scale"),
    ...set(page.temperature, "temperature", "the temperature"),
  };
}

/** The seconds of sound that are asked for; undefined: one clip. */
export function askedLength(): number | undefined {
  const seconds = numberIn(page.length, "the length");
  if (seconds !== undefined && !(seconds > 0 && seconds <= MAX_S)) {
    throw new InputError(`the length must be in (0, ${MAX_S}] seconds, got ${seconds}`);
  }
  return seconds;
}
