import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { Tensor } from "onnxruntime-web";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import type { Bundle } from "../src/echoes/bundle";
import { Echoes } from "../src/echoes/echoes";
import { BundleError, CancelledError, InputError } from "../src/echoes/errors";
import { positionsOf, type Manifest } from "../src/echoes/manifest";
import { Model } from "../src/echoes/model";
import { uniforms } from "../src/echoes/noise";
import type { Picture, Sound } from "../src/echoes/results";
import { Session, type Tensors } from "../src/echoes/session";
import {
  bytes,
  camel,
  distance,
  EXPECTED,
  floats,
  golden,
  readJson,
  REPOSITORY,
  serve,
  TEST_BUNDLE,
  TINY_BUNDLE,
  whole,
} from "./fixtures";

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
    expect([...(await echoes.model.encodeImage(image))]).toEqual(answers.image_codes);
    const mel = await echoes.model.clipMel(samples);
    expect([...(await echoes.model.encodeMel(mel))]).toEqual(answers.audio_codes);
  });

  const sounds: Record<string, (seed: bigint) => Promise<Sound>> = {
    imageToAudio: (seed) => echoes.imageToAudio(image, { seed }),
    varyAudio: (seed) => echoes.varyAudio(samples, 0.6, { seed }),
    inpaintAudio: (seed) => echoes.inpaintAudio(samples, { start, stop }, { seed }),
    continueAudio: (seed) => echoes.continueAudio(samples, 1.2 * clip, { seed }),
    stream: (seed) => whole(echoes.stream(image, { duration: 2.5 * clip, seed })),
  };

  it.each(Object.keys(sounds))("codes and samples for every seed: %s", (task) =>
    forEverySeed(async (seed, run) => {
      const sound = await sounds[task]!(seed);
      expect([...sound.codes]).toEqual(run[task]);
      expect(distance(sound.samples, floats(run.waveforms[task]))).toBeLessThan(1e-4);
    }),
  );

  const pictures: Record<string, (seed: bigint) => Promise<Picture>> = {
    audioToImage: (seed) => echoes.audioToImage(samples, { seed }),
    varyImage: (seed) => echoes.varyImage(image, 0.4, { seed }),
    inpaintImage: (seed) => echoes.inpaintImage(image, mask, { seed }),
  };

  it.each(Object.keys(pictures))("codes for every seed: %s", (task) =>
    forEverySeed(async (seed, run) => {
      const { codes } = await pictures[task]!(seed);
      expect([...codes]).toEqual(run[task]);
    }),
  );

  it("codes and samples for every seed: cogenerate", () =>
    forEverySeed(async (seed, run) => {
      const { sound, picture } = await echoes.cogenerate({ seed });
      expect([[...sound.codes], [...picture.codes]]).toEqual(run.cogenerate);
      expect(distance(sound.samples, floats(run.waveforms.cogenerate))).toBeLessThan(1e-4);
    }));

  it("codes with every option", async () => {
    for (const { options, codes } of answers.options) {
      const sound = await echoes.imageToAudio(image, { seed: 7, ...camel(options) });
      expect([...sound.codes], JSON.stringify(options)).toEqual(codes);
    }
  });

  it("log-mel of a sound, however it is divided", async () => {
    const mel = await echoes.model.logMel(samples);
    expect(distance(mel, floats(answers.mel))).toBeLessThan(1e-5);
    expect(mel).toHaveLength(
      echoes.manifest.mel.n_mels * Math.floor(samples.length / echoes.manifest.mel.hop_length),
    );
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
    expect(sound.mel).toEqual(await echoes.model.logMel(sound.samples));
  });
});

describe("steps", () => {
  const MOST = 1000; // of the manifest's schema
  let nAudio: number;
  let nImage: number;
  beforeAll(() => {
    nAudio = positionsOf(echoes.manifest.tokens.audio);
    nImage = positionsOf(echoes.manifest.tokens.image);
  });

  it("are as many as are asked for, but no more than there are unknown tokens", async () => {
    const part = { start, stop };
    const made = [
      await echoes.imageToAudio(image, { steps: MOST }),
      await echoes.inpaintAudio(samples, part, { image, steps: MOST }),
      await echoes.audioToImage(samples, { steps: MOST }),
      (await echoes.cogenerate({ steps: MOST })).sound,
    ];
    const [sound, filled, picture, both] = made.map(({ sampling }) => sampling.steps);
    expect([sound, picture, both]).toEqual([nAudio, nImage, nAudio]);
    expect(filled).toBeLessThan(nAudio);
    const again = await echoes.imageToAudio(image, { seed: made[0]!.seed, steps: nAudio });
    expect(again.codes).toEqual(made[0]!.codes);
  });

  it("may be more than a later window has unknown tokens", async () => {
    const decode = vi.spyOn(echoes.model, "decodeTokens");
    await whole(echoes.stream(image, { duration: 2 * clip, seed: 1, steps: MOST }));
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
    await expect(run(MOST + 1)).rejects.toThrow(InputError);
    expect(graphs).not.toHaveBeenCalled();
    graphs.mockRestore();
  });
});

describe("a sound", () => {
  it("of few samples has a log-mel, too", async () => {
    const { hop_length, n_mels } = echoes.manifest.mel;
    const mel = await echoes.model.logMel(samples.slice(0, hop_length));
    expect(mel).toHaveLength(n_mels);
    expect(mel.every(Number.isFinite)).toBe(true);
  });

  it("is textured by the noise of its seed and window, if its decoder takes some", async () => {
    const noise = { name: "noise", isTensor: true, type: "float32", shape: ["batch", 3, 3] } as const;
    const input = vi.spyOn(Session.prototype, "input").mockReturnValue(noise);
    const fed: Tensors[] = [];
    const { n_mels, n_frames } = echoes.manifest.mel;
    const run = vi.spyOn(Session.prototype, "run").mockImplementation(async (inputs) => {
      fed.push(inputs);
      return { mel: new Tensor("float32", new Float32Array(n_mels * n_frames)) };
    });
    const codes = new Int32Array(positionsOf(echoes.manifest.tokens.audio));
    await echoes.model.decodeMel(codes, 1n);
    await echoes.model.decodeMel(codes, 1n, 3n);
    run.mockRestore();
    input.mockRestore();
    const [first, second] = fed.map((inputs) => inputs["noise"]!);
    const { streams } = golden("noise") as { streams: Record<string, string>[] };
    const found = streams.find(({ seed, stream }) => seed === "1" && stream === String(2n ** 63n));
    expect(first!.dims).toEqual([1, 3, 3]);
    expect([...(first!.data as Float32Array)].map((u) => u * 2 ** 24)).toEqual(
      found!["uniforms_times_2_24"],
    );
    expect(second!.data).toEqual(uniforms(1n, 2n ** 63n + 3n, 9));
  });
});

describe("a bundle", () => {
  it.each([
    ["image_encoder", "codes", -1],
    ["mel_encoder", "codes", -1],
    ["decode_audio_step", "decoded", 32], // the mask token
    ["vocoder", "waveform", Number.NaN],
  ])("with a strange %s is refused", async (name, output, value) => {
    const { run } = Session.prototype;
    const strange = vi.spyOn(Session.prototype, "run").mockImplementation(async function (
      this: Session,
      inputs,
    ) {
      const outputs = await run.call(this, inputs);
      if (this.name === name) (outputs[output]!.data as Int32Array).fill(value);
      return outputs;
    });
    const made = name === "mel_encoder" ? echoes.audioToImage(samples) : echoes.imageToAudio(image);
    await expect(made).rejects.toThrow(BundleError);
    await expect(made).rejects.toThrow(name);
    strange.mockRestore();
  });

  it("without a graph makes all that does not need it", async () => {
    const { log_mel: _, ...graphs } = echoes.model.bundle.manifest.graphs;
    const other = withManifest({ graphs });
    expect((await other.imageToAudio(image)).samples.length).toBeGreaterThan(0);
    await expect(other.audioToImage(samples)).rejects.toThrow(/has no graph log_mel/);
  });

  it("with one column of audio codes makes no long sound", async () => {
    const { image: grid, audio } = echoes.manifest.tokens;
    const column = { ...audio, height: positionsOf(audio), width: 1 };
    const one = withManifest({ tokens: { image: grid, audio: column } });
    for (const made of [one.continueAudio(samples), whole(one.stream(image, { duration: clip }))]) {
      await expect(made).rejects.toThrow("has one token column a clip; long sound needs two");
    }
  });
});

/** The same graphs, under a manifest that says something else. */
function withManifest(changes: Partial<Manifest>): Echoes {
  const { bundle, device } = echoes.model;
  const other = Object.assign(Object.create(bundle), {
    manifest: { ...bundle.manifest, ...changes },
  }) as Bundle;
  return new Echoes(new Model(other, device));
}

describe("the sound of a picture", () => {
  const graph = readFileSync(`${REPOSITORY}tests/fixtures/confidence.onnx`);

  /** The bundle with a graph that tells the mean of a picture's codes / 32. */
  function confident(file: string, data: Buffer): Buffer {
    if (file === "confidence.onnx") return graph;
    if (file !== "manifest.json") return data;
    const manifest = JSON.parse(data.toString());
    manifest.graphs.confidence = {
      file: "confidence.onnx",
      sha256: createHash("sha256").update(graph).digest("hex"),
      size_bytes: graph.length,
      precision: "fp32",
      external_data: [],
    };
    return Buffer.from(JSON.stringify(manifest));
  }

  it("says how surely the picture is known, where the bundle can tell", async () => {
    const other = await Echoes.load(serve(TINY_BUNDLE, confident), { threads: 1 });
    const codes = await other.model.encodeImage(image);
    const mean = codes.reduce((sum, code) => sum + code) / codes.length;
    expect((await other.imageToAudio(image)).confidence).toBeCloseTo(mean / 32, 6);
    expect((await other.cogenerate()).sound.confidence).toBeUndefined();
    const plain = await Echoes.load(serve(TINY_BUNDLE), { threads: 1 });
    expect((await plain.imageToAudio(image)).confidence).toBeUndefined();
  });
});
