import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { ManifestError } from "../src/echoes/errors";
import { filesOf, readManifest } from "../src/echoes/manifest";
import { GRAPHS } from "../src/echoes/signatures";
import { readJson, REPOSITORY, TINY_BUNDLE } from "./fixtures";

interface Broken {
  key: string;
  value?: unknown;
  error: string;
}

/** One case a line. A whole number written as 1.0 cannot be told from 1 by JSON.parse. */
function cases(): Broken[] {
  const text = readFileSync(`${REPOSITORY}tests/fixtures/manifests/invalid.json`, "utf8");
  const lines = text.split("\n").filter((line) => line.startsWith("{"));
  return lines
    .filter((line) => !/"value": -?\d+\.0,/.test(line))
    .map((line) => JSON.parse(line.replace(/,$/, "")) as Broken);
}

/* eslint-disable-next-line -- a manifest to break */
function tiny(): any {
  return readJson(`${TINY_BUNDLE}/manifest.json`);
}

describe("a manifest", () => {
  it("is read", () => {
    const manifest = readManifest(tiny());
    expect(manifest.name).toBe("echoes-tiny");
    expect(manifest.tokens.nTokens).toBe(24);
    expect(manifest.sampling.guidanceSchedule).toBe("constant");
    const files = filesOf(manifest, GRAPHS).map(({ file }) => file);
    expect(files.filter((file) => file === "weights.safetensors")).toHaveLength(1);
    expect(files).toHaveLength(7);
  });

  it.each(cases().map((item) => [item.key, JSON.stringify(item.value)?.slice(0, 40), item] as const))(
    "with the broken rule %s = %s says so",
    (_, __, item) => {
      const data = tiny();
      const steps = item.key.split(".");
      const last = steps.pop()!;
      const parent = steps.reduce((part, name) => part[name], data);
      if ("value" in item) parent[last] = item.value;
      else delete parent[last];
      expect(() => readManifest(data)).toThrow(ManifestError);
      expect(() => readManifest(data)).toThrow(item.error);
    },
  );

  it("may have keys and graphs from the future", () => {
    const data = tiny();
    data.future = data.graphs.step.future = 1;
    data.graphs.future = data.graphs.vocoder;
    expect(readManifest(data).graphs["future"]?.file).toBe("vocoder.onnx");
  });

  it("may lack what only other tasks need", () => {
    const data = tiny();
    delete data.graphs.mel_encoder;
    delete data.description;
    expect(readManifest(data).graphs["mel_encoder"]).toBeUndefined();
  });
});
