import { describe, expect, it } from "vitest";

import { InputError } from "../src/echoes/errors";
import { numberIn } from "../src/page/fields";

/** A field as browsers have it: what is no number is an empty value. */
const field = (value: string, badInput = false) => ({
  value,
  validity: { badInput } as ValidityState,
});

describe("a field of a number", () => {
  it("gives its number, or nothing if it is empty", () => {
    expect(["1.5", "0", "-3", ""].map((text) => numberIn(field(text), "it"))).toEqual([
      1.5,
      0,
      -3,
      undefined,
    ]);
  });

  it("refuses what is no number", () => {
    expect(() => numberIn(field("", true), "the temperature")).toThrow(
      new InputError(
        "the temperature must be a number, got something else; correct or empty its field",
      ),
    );
  });
});
