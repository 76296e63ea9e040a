import { describe, expect, it } from "vitest";

import type { Picture, Sound } from "../src/echoes";
import { cardOf, withGiven, withResult, type Scene } from "../src/page/scene";

const NOTHING: Scene = { made: [], isLong: false };
const pixels = { height: 1, width: 1, rgb: new Uint8Array(3) };
const samples = new Float32Array(4);
const mel = new Float32Array(2);
const made = { codes: new Int32Array(1), seed: 7n };
const sound = { ...made, samples, mel } as unknown as Sound;
const picture = { ...made, pixels } as unknown as Picture;

describe("a scene", () => {
  const heard = withResult(withGiven(NOTHING, { picture: { pixels, role: "yours" } }), sound, false);

  it("leaves what somebody gave theirs", () => {
    const given = withGiven(heard, { sound: { samples, mel, role: "yours" } });
    expect(given.picture?.role).toBe("yours");
  });

  it("has both of a pair", () => {
    const both = withResult(NOTHING, { sound, picture }, false);
    expect([both.sound?.role, both.picture?.role]).toEqual(["generated", "generated"]);
  });
});

describe("a wish", () => {
  it("is for the card that its result appears in", () => {
    expect(cardOf({ task: "varyImage", asks: { image: pixels, keep: 0.5 } })).toBe("picture");
    expect(cardOf({ task: "varyAudio", asks: { samples, keep: 0.5 } })).toBe("sound");
    expect(cardOf({ task: "cogenerate", asks: {} })).toBe("sound");
  });
});
