import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { afterAll, describe, expect, it, vi } from "vitest";

import { Echoes } from "../src/echoes/echoes";
import { REPOSITORY, serve, TINY_BUNDLE } from "./fixtures";

const GRAPH = readFileSync(`${REPOSITORY}tests/fixtures/confidence.onnx`);
const ENTRY = {
  file: "confidence.onnx",
  sha256: createHash("sha256").update(GRAPH).digest("hex"),
  size_bytes: GRAPH.length,
  precision: "fp32",
  external_data: [],
};

/** The tiny bundle with a graph that tells the mean of a picture's codes / 32. */
function change(file: string, data: Buffer): Buffer {
  if (file === ENTRY.file) return GRAPH;
  if (file !== "manifest.json") return data;
  const manifest = JSON.parse(data.toString());
  manifest.graphs.confidence = ENTRY;
  return Buffer.from(JSON.stringify(manifest));
}

const image = { height: 8, width: 8, rgb: new Uint8Array(192).map((_, i) => (i * 37) % 256) };

afterAll(() => vi.unstubAllGlobals());

describe("the sound of a picture", () => {
  it("says how surely the picture is known", async () => {
    const echoes = await Echoes.load(serve(TINY_BUNDLE, change), { threads: 1 });
    const codes = await echoes.model.encodeImage(image);
    const mean = codes.reduce((sum, code) => sum + code) / codes.length;
    const sound = await echoes.imageToAudio(image, { seed: 1 });
    expect(sound.confidence).toBeCloseTo(mean / 32, 6);
    expect((await echoes.cogenerate({ seed: 1 })).sound.confidence).toBeUndefined();
  });

  it("says nothing of it where the bundle cannot tell", async () => {
    const echoes = await Echoes.load(serve(TINY_BUNDLE), { threads: 1 });
    expect((await echoes.imageToAudio(image, { seed: 1 })).confidence).toBeUndefined();
  });
});
