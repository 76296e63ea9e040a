import { describe, expect, it } from "vitest";

import { cropBox, normalise, resize } from "../src/echoes/image";
import type { ImageSpec } from "../src/echoes/manifest";
import { roundHalfEven } from "../src/echoes/numbers";
import { encodeWav } from "../src/echoes/results";
import { bytes, distance, EXPECTED, floats, readJson } from "./fixtures";

const expected = readJson(EXPECTED);

function spec(name: string): ImageSpec {
  const [height, width] = expected.specs[name];
  return { height, width, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
}

describe("a picture", () => {
  it.each(expected.pictures as { spec: string; height: number; width: number }[])(
    "of $width x $height becomes OpenCV's $spec one",
    (item) => {
      const { rgb, resized, normal } = item as unknown as Record<string, string>;
      const image = { height: item.height, width: item.width, rgb: bytes(rgb!) };
      const made = resize(image, spec(item.spec));
      expect(distance(made.rgb, bytes(resized!))).toBe(0);
      expect(distance(normalise(made, spec(item.spec)), floats(normal!))).toBe(0);
    },
  );

  it("is cropped near a centre, but within itself", () => {
    const box = cropBox({ height: 50, width: 200 }, spec("square"), [10, 195]);
    expect(box).toEqual({ top: 0, left: 150, height: 50, width: 50 });
  });
});

describe("a sound", () => {
  it("is written as the Python runtime writes it", () => {
    const { samples, file } = expected.wav;
    expect(distance(new Uint8Array(encodeWav(floats(samples), 22_050)), bytes(file))).toBe(0);
  });
});

describe("numbers", () => {
  it("are rounded as Python rounds them", () => {
    expect([-1.5, -0.5, 0.5, 1.5, 2.5, 2.51].map(roundHalfEven)).toEqual([-2, 0, 0, 2, 2, 3]);
  });
});
