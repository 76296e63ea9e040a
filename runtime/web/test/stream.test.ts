import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { InputError } from "../src/echoes/errors";
import { Echoes } from "../src/echoes/echoes";
import type { Sound } from "../src/echoes/results";
import { freshColumns, overlapColumns } from "../src/echoes/stream";
import {
  bytes,
  camel,
  distance,
  EXPECTED,
  floats,
  readJson,
  serve,
  TEST_BUNDLE,
  whole,
} from "./fixtures";

const { answers } = readJson(EXPECTED);
const picture = (of: { rgb: string; height: number; width: number }) => ({
  ...of,
  rgb: bytes(of.rgb),
});
const image = picture(answers.image);
const other = picture(answers.long.other);
const samples = floats(answers.samples);
const clip: number = answers.clip_s;

let echoes: Echoes;

beforeAll(async () => {
  echoes = await Echoes.load(serve(TEST_BUNDLE), { threads: 1 });
});

afterAll(() => vi.unstubAllGlobals());

function expectSame(sound: Sound, expected: { codes: number[]; samples: string }): void {
  expect([...sound.codes]).toEqual(expected.codes);
  expect(distance(sound.samples, floats(expected.samples))).toBeLessThan(1e-4);
}

describe("the Python runtime's", () => {
  it("continuation of what is shorter than a column, of a picture", async () => {
    const [short, options] = [samples.slice(0, 50), { seed: 3, image }];
    const sound = await echoes.continueAudio(short, 0.7 * clip, options);
    expectSame(sound, answers.long.short);
    expect(sound.samples.subarray(0, 50)).toEqual(short);
  });

  it("stream of pictures that change", async () => {
    const shown = (second: number) => (second < 1.5 * clip ? image : other);
    const parts = echoes.stream(shown, { duration: 4 * clip, seed: 3 });
    expectSame(await whole(parts), answers.long.changing);
  });

  it("stream with options", async () => {
    const options = camel(answers.long.options);
    const parts = echoes.stream(image, { duration: 2 * clip, seed: 3, ...options });
    expectSame(await whole(parts), answers.long.with_options);
  });
});

describe("a stream", () => {
  it("has windows that share a third, and a ninth that is not heard", () => {
    expect([1, 2, 4, 9, 27].map((n) => [overlapColumns(n), freshColumns(n)])).toEqual([
      [1, 1],
      [1, 1],
      [1, 3],
      [3, 5],
      [9, 15],
    ]);
  });

  it.each([1, 100, 2048, 2049, 5000, 20_001])("has the length that was asked for: %i", async (n) => {
    const { sample_rate, n_mels, hop_length } = echoes.manifest.mel;
    let [nSamples, nFrames] = [0, 0];
    for await (const part of echoes.stream(image, { duration: n / sample_rate, seed: 1 })) {
      expect(part.samples.every((sample) => Math.abs(sample) <= 1)).toBe(true);
      nSamples += part.samples.length;
      nFrames += part.mel.length / n_mels;
    }
    expect([nSamples, nFrames]).toEqual([n, Math.ceil(n / hop_length)]);
  });

  it("never ends without a length, in memory that does not grow", async () => {
    const vocode = vi.spyOn(echoes.model, "vocode");
    const parts = echoes.stream(image, { seed: 7 });
    const begin = await whole(echoes.stream(image, { duration: 8 * clip, seed: 7 }));
    let [n, most] = [0, 0];
    for await (const part of parts) {
      most = Math.max(most, part.samples.length);
      if (n < 4 * clip * part.sampleRate) {
        const same = begin.samples.subarray(n, n + part.samples.length);
        expect(distance(part.samples, same)).toBeLessThan(1e-6);
      }
      n += part.samples.length;
      if (n > 12 * clip * part.sampleRate) break;
    }
    const { n_mels, n_frames, hop_length } = echoes.manifest.mel;
    const frames = vocode.mock.calls.map(([mel]) => mel.length / n_mels);
    expect(Math.max(...frames)).toBeLessThanOrEqual(n_frames + 3 * 32);
    expect(most).toBeLessThanOrEqual(n_frames * hop_length);
    expect((await parts.next()).done).toBe(true);
  });

  it("says of each part how it was made until then", async () => {
    const made: Sound[] = [];
    for await (const part of echoes.stream(image, { duration: 4 * clip })) made.push(part);
    const [first, second] = made;
    expect(second!.seed).toBe(first!.seed);
    expect(second!.codes).not.toEqual(first!.codes);
    const decoding = made.map((part) => part.timingsMs["decode tokens"]!);
    expect(decoding).toEqual(decoding.toSorted((a, b) => a - b));
    expect(new Set(decoding).size).toBeGreaterThan(1);
  });

  it.each([0, -1, Number.NaN, 86_401])("of %d seconds is refused", async (duration) => {
    await expect(whole(echoes.stream(image, { duration }))).rejects.toThrow(InputError);
  });
});

describe("what goes on", () => {
  it("begins with what was given, goes on without a click, and is seen whole", async () => {
    const given = samples.map((sample) => sample / 2);
    const sound = await echoes.continueAudio(given, 0.3, { seed: 2 });
    expect(sound.samples.subarray(0, given.length)).toEqual(given);
    const seam = given.length;
    expect(Math.abs(sound.samples[seam]! - sound.samples[seam - 1]!)).toBeLessThan(1e-6);
    const { n_mels, hop_length } = echoes.manifest.mel;
    expect(sound.mel).toHaveLength(n_mels * Math.floor(sound.samples.length / hop_length));
  });

  it("is five seconds longer unless said otherwise, and one sample at least", async () => {
    const { sample_rate } = echoes.manifest.mel;
    expect((await echoes.continueAudio(samples)).samples).toHaveLength(
      samples.length + 5 * sample_rate,
    );
    expect((await echoes.continueAudio(samples, 1e-6)).samples).toHaveLength(samples.length + 1);
  });

  it.each([0, -1, Number.NaN, 3601])("for %d seconds is refused", async (duration) => {
    await expect(echoes.continueAudio(samples, duration)).rejects.toThrow(InputError);
  });

  it("after nothing is refused", async () => {
    await expect(echoes.continueAudio(new Float32Array(0))).rejects.toThrow(InputError);
  });
});
