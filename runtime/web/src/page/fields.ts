/** Reads fields of numbers. */

import { InputError } from "../echoes/errors";

/**
 * The number in a field; undefined if it is empty.
 *
 * @param name - What the number is, for people.
 * @throws InputError if there is something else in it, which browsers give as an empty value.
 */
export function numberIn(
  { value, validity }: Pick<HTMLInputElement, "value" | "validity">,
  name: string,
): number | undefined {
  if (validity.badInput) {
    throw new InputError(`${name} must be a number, got something else; correct or empty its field`);
  }
  return value === "" ? undefined : Number(value);
}
