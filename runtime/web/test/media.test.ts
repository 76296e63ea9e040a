import { describe, expect, it } from "vitest";

import { Fft } from "../src/echoes/fft";
import { cropBox, normalise, resize } from "../src/echoes/image";
import { clipMel, melFilterbank } from "../src/echoes/mel";
import { general, roundHalfEven } from "../src/echoes/numbers";
import type { ImageSpec } from "../src/echoes/spec";
import { readManifest } from "../src/echoes/manifest";
import { encodeWav } from "../src/echoes/wav";
import { bytes, distance, EXPECTED, floats, golden, readJson, TINY_BUNDLE } from "./fixtures";

const expected = readJson(EXPECTED);
const { mel: MEL } = readManifest(readJson(`${TINY_BUNDLE}/manifest.json`));

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
  it("has the Python runtime's log-mel", () => {
    const mel = clipMel(floats(expected.answers.samples), MEL);
    expect(distance(mel, floats(expected.answers.mel))).toBeLessThan(2e-5);
  });

  it("has its filterbank", () => {
    const bank = melFilterbank(MEL).flatMap((filter) => [...filter]);
    expect(distance(bank, floats(expected.filterbank))).toBeLessThan(1e-8);
  });

  it("has the golden filters", () => {
    const { rows, filterbank } = golden("mel");
    const bank = melFilterbank({ ...MEL, f_min: 0, f_max: 8000 });
    (rows as number[]).forEach((row, i) => {
      expect(distance(bank[row]!, filterbank[i])).toBeLessThan(1e-9);
    });
  });

  it("is written as the Python runtime writes it", () => {
    const { samples, file } = expected.wav;
    expect(distance(new Uint8Array(encodeWav(floats(samples), 22_050)), bytes(file))).toBe(0);
  });
});

describe("the Fourier transform", () => {
  it.each([1, 2, 8, 12, 15, 96, 256])("of %i samples is the sum that defines it", (size) => {
    const frame = Float32Array.from({ length: size }, (_, i) => Math.sin(i * i + 1));
    const out = new Float32Array(Math.floor(size / 2) + 1);
    new Fft(size).magnitudes(frame, out);
    const direct = Array.from(out, (_, bin) => {
      let [re, im] = [0, 0];
      frame.forEach((sample, i) => {
        re += sample * Math.cos((2 * Math.PI * bin * i) / size);
        im -= sample * Math.sin((2 * Math.PI * bin * i) / size);
      });
      return Math.hypot(re, im);
    });
    expect(distance(out, direct)).toBeLessThan(1e-4);
  });
});

describe("numbers", () => {
  it("are rounded as Python rounds them", () => {
    expect([-1.5, -0.5, 0.5, 1.5, 2.5, 2.51].map(roundHalfEven)).toEqual([-2, 0, 0, 2, 2, 3]);
  });

  it("are written as Python writes them", () => {
    expect([0, 1e-6, 255, 192_000, 11_025, 0.5].map(general)).toEqual([
      "0",
      "1e-06",
      "255",
      "192000",
      "11025",
      "0.5",
    ]);
  });
});
