import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import type { Bundle } from "../src/echoes/bundle";
import { Engine } from "../src/echoes/engine";
import { BundleError, CancelledError, InputError } from "../src/echoes/errors";
import { logMel } from "../src/echoes/mel";
import { Echoes } from "../src/echoes/pipeline";
import type { Picture, Sound } from "../src/echoes/results";
import { Session } from "../src/echoes/session";
import { Grid, TokenLayout } from "../src/echoes/spec";
import { camel } from "./camel";
import { bytes, distance, EXPECTED, floats, readJson, serve, TEST_BUNDLE, whole } from "./fixtures";

const { answers } = readJson(EXPECTED);
const image = { ...answers.image, rgb: bytes(answers.image.rgb) };
const mask = { height: image.height, width: image.width, hidden: bytes(answers.hidden) };
const samples = floats(answers.samples);
const [start, stop] = answers.part;
const clip: number = answers.clip_s;

let echoes: Echoes;

/** Fails after the last seed, naming all that failed: one tie does not hide the others. */
async function forEverySeed(
  check: (seed: bigint, run: (typeof answers.runs)[number]) => Promise<void>,
): Promise<void> {
  const failures: string[] = [];
  for (const run of answers.runs) {
    await check(BigInt(run.seed), run).catch((error: Error) =>
      failures.push(`seed ${run.seed}: ${error.message}`),
    );
  }
  expect(failures).toEqual([]);
}

beforeAll(async () => {
  echoes = await Echoes.load(serve(TEST_BUNDLE), { threads: 1 });
});

afterAll(() => vi.unstubAllGlobals());

describe("the Python runtime's", () => {
  it("codes of a picture and of a sound", async () => {
    expect([...(await echoes.engine.encodeImage(image))]).toEqual(answers.image_codes);
    expect([...(await echoes.engine.encodeAudio(samples))]).toEqual(answers.audio_codes);
  });

  const sounds: Record<string, (seed: bigint) => Promise<Sound>> = {
    imageToAudio: (seed) => echoes.imageToAudio(image, { seed }),
    varyAudio: (seed) => echoes.varyAudio(samples, 0.6, { seed }),
    inpaintAudio: (seed) => echoes.inpaintAudio(samples, { start, stop }, { seed }),
    continueAudio: (seed) => echoes.continueAudio(samples, 1.2 * clip, { seed }),
    stream: (seed) => whole(echoes.stream(image, { duration: 2.5 * clip, seed })),
  };

  it.each(Object.keys(sounds))("codes and samples for every seed: %s", (verb) =>
    forEverySeed(async (seed, run) => {
      const sound = await sounds[verb]!(seed);
      expect([...sound.codes]).toEqual(run[verb]);
      expect(distance(sound.samples, floats(run.waveforms[verb]))).toBeLessThan(1e-4);
    }),
  );

  const pictures: Record<string, (seed: bigint) => Promise<Picture>> = {
    audioToImage: (seed) => echoes.audioToImage(samples, { seed }),
    varyImage: (seed) => echoes.varyImage(image, 0.4, { seed }),
    inpaintImage: (seed) => echoes.inpaintImage(image, mask, { seed }),
  };

  it.each(Object.keys(pictures))("codes for every seed: %s", (verb) =>
    forEverySeed(async (seed, run) => {
      const { codes } = await pictures[verb]!(seed);
      expect([...codes]).toEqual(run[verb]);
    }),
  );

  it("codes and samples for every seed: cogenerate", () =>
    forEverySeed(async (seed, run) => {
      const { sound, picture } = await echoes.cogenerate({ seed });
      expect([[...sound.codes], [...picture.codes]]).toEqual(run.cogenerate);
      expect(distance(sound.samples, floats(run.waveforms.cogenerate))).toBeLessThan(1e-4);
    }));

  it("codes with every dial", async () => {
    for (const { options, codes } of answers.options) {
      const sound = await echoes.imageToAudio(image, { seed: 7, ...camel(options) });
      expect([...sound.codes], JSON.stringify(options)).toEqual(codes);
    }
  });

  it("pixels", async () => {
    const { pixels } = await echoes.audioToImage(samples, { seed: 5 });
    expect(distance(pixels.rgb, bytes(answers.pixels))).toBeLessThanOrEqual(1);
  });
});

describe("a call", () => {
  it("reports its steps, its seed and what it ran on", async () => {
    const steps: number[] = [];
    const sound = await echoes.imageToAudio(image, { onStep: (step) => void steps.push(step) });
    expect(steps).toEqual([0, 1, 2, 3]);
    expect(sound.device).toBe("WebAssembly, 1 thread");
    expect(Object.keys(sound.timingsMs)).toEqual(["encode image", "decode tokens", "decode audio"]);
    const again = await echoes.imageToAudio(image, { seed: sound.seed });
    expect(again.codes).toEqual(sound.codes);
  });

  it("can be cancelled, and another one made", async () => {
    const cancelled = echoes.imageToAudio(image, { onStep: (step) => step < 1 });
    await expect(cancelled).rejects.toThrow(CancelledError);
    expect((await echoes.imageToAudio(image)).codes).toHaveLength(8);
  });

  it.each([
    ["a picture of the wrong size", () => echoes.imageToAudio({ ...image, width: 3 })],
    ["a sound without samples", () => echoes.audioToImage(new Float32Array(0))],
    ["samples that are no numbers", () => echoes.audioToImage(Float32Array.of(1, Number.NaN))],
    ["a share above 1", () => echoes.varyImage(image, 1.5)],
    ["a part beyond the end", () => echoes.inpaintAudio(samples, { start: 0, stop: 99 })],
    ["a part as long as the clip", () => echoes.inpaintAudio(samples, { start: 0, stop: 0.09 })],
    ["an empty mask", () =>
      echoes.inpaintImage(image, { ...mask, hidden: new Uint8Array(mask.hidden.length) })],
    ["a mask that is too wide", () =>
      echoes.inpaintImage(image, { ...mask, hidden: mask.hidden.map(() => 1) })],
  ])("with %s is refused", async (_, run) => {
    await expect(run()).rejects.toThrow(InputError);
  });

  it("that fills in a part gives the log-mel of all that comes back", async () => {
    const sound = await echoes.inpaintAudio(samples, { start, stop });
    expect(sound.mel).toEqual(logMel(sound.samples, echoes.manifest.mel));
  });
});

describe("steps", () => {
  let most: number;
  let nAudio: number;
  beforeAll(() => {
    const { nTokens, audio } = echoes.manifest.tokens;
    [most, nAudio] = [nTokens, audio.nTokens];
  });

  it("are as many as are asked for, but no more than there are unknown tokens", async () => {
    const part = { start, stop };
    const made = [
      await echoes.imageToAudio(image, { steps: most }),
      await echoes.inpaintAudio(samples, part, { image, steps: most }),
      await echoes.audioToImage(samples, { steps: most }),
      (await echoes.cogenerate({ steps: most })).sound,
    ];
    const [sound, filled, picture, both] = made.map(({ sampling }) => sampling.steps);
    expect([sound, picture, both]).toEqual([nAudio, most - nAudio, most]);
    expect(filled).toBeLessThan(nAudio);
    const again = await echoes.imageToAudio(image, { seed: made[0]!.seed, steps: nAudio });
    expect(again.codes).toEqual(made[0]!.codes);
  });

  it("may be more than a later window has unknown tokens", async () => {
    const decode = vi.spyOn(echoes.engine, "decodeTokens");
    await whole(echoes.stream(image, { duration: 2 * clip, seed: 1, steps: most }));
    const steps = decode.mock.calls.map(([{ sampling }]) => sampling.steps);
    decode.mockRestore();
    expect(steps[0]).toBe(nAudio);
    expect(steps.at(-1)).toBeLessThan(nAudio);
  });

  it.each([
    ["imageToAudio", (steps: number) => echoes.imageToAudio(image, { steps })],
    ["audioToImage", (steps: number) => echoes.audioToImage(samples, { steps })],
    ["cogenerate", (steps: number) => echoes.cogenerate({ steps })],
    ["stream", (steps: number) => whole(echoes.stream(image, { steps, duration: clip }))],
  ])("are checked before anything is made: %s", async (_, run) => {
    const graphs = vi.spyOn(Session.prototype, "run");
    const sentence = `steps must be a whole number in [1, ${most}], got ${most + 1}`;
    await expect(run(most + 1)).rejects.toThrow(new InputError(sentence));
    expect(graphs).not.toHaveBeenCalled();
    graphs.mockRestore();
  });
});

describe("a bundle", () => {
  it.each([
    ["image_encoder", /the image_encoder of bundle [\w-]+ gave other codes than the manifest says/],
    ["mel_encoder", /the mel_encoder of bundle [\w-]+ gave other codes than the manifest says/],
    ["step", "the step graph gave logits that are not numbers"],
  ])("with a strange %s is refused", async (name, sentence) => {
    const { run } = Session.prototype;
    const strange = vi.spyOn(Session.prototype, "run").mockImplementation(async function (
      this: Session,
      ...args
    ) {
      const values = await run.apply(this, args);
      if (this.name !== name) return values;
      return args[3] === "codes" ? values.map(() => -1) : values.map(() => Number.NaN);
    });
    const made = name === "mel_encoder" ? echoes.audioToImage(samples) : echoes.imageToAudio(image);
    await expect(made).rejects.toThrow(BundleError);
    await expect(made).rejects.toThrow(sentence);
    strange.mockRestore();
  });

  it("with small codebooks is refused if its step gives codes beyond them", async () => {
    const { image: grid, audio } = echoes.manifest.tokens;
    const tokens = new TokenLayout(grid, new Grid(audio.height, audio.width, 1));
    await expect(withTokens(tokens).imageToAudio(image, { seed: 1 })).rejects.toThrow(
      /the step of bundle [\w-]+ gave other codes than the manifest says; get the bundle again/,
    );
  });

  it("with one column of audio codes makes no long sound", async () => {
    const { image: grid, audio } = echoes.manifest.tokens;
    const one = withTokens(new TokenLayout(grid, new Grid(audio.nTokens, 1, audio.codebookSize)));
    for (const made of [one.continueAudio(samples), whole(one.stream(image, { duration: clip }))]) {
      await expect(made).rejects.toThrow("has one token column a clip; long sound needs two");
    }
  });
});

/** The same graphs, under a manifest that says something else of their codes. */
function withTokens(tokens: TokenLayout): Echoes {
  const { bundle, device } = echoes.engine;
  const other = { manifest: { ...bundle.manifest, tokens }, graph: bundle.graph.bind(bundle) };
  return new Echoes(new Engine(other as unknown as Bundle, device));
}
