import { describe, expect, it } from "vitest";

import { ManifestError } from "../src/echoes/errors";
import { parseJson } from "../src/echoes/json";
import { filesOf, GRAPHS, readManifest } from "../src/echoes/manifest";
import { ruleOf } from "../src/echoes/schema";
import { bytes, EXPECTED, readJson, REPOSITORY, TINY_BUNDLE } from "./fixtures";

interface Broken {
  key: string;
  value?: unknown;
  names: string;
}

const CASES: Broken[] = readJson(`${REPOSITORY}tests/fixtures/manifests/invalid.json`);

/* eslint-disable-next-line -- a manifest to break */
function tiny(): any {
  return readJson(`${TINY_BUNDLE}/manifest.json`);
}

describe("a manifest's text", () => {
  const texts = readJson(EXPECTED).texts as { shown: string; is_read: boolean; bytes: string }[];

  it.each(texts)("with $shown is taken or refused as in other languages", (item) => {
    const read = () => readManifest(parseJson(bytes(item.bytes)));
    if (item.is_read) expect(read().name).toBe("echoes-tiny");
    else expect(read).toThrow(ManifestError);
  });
});

describe("a manifest", () => {
  it("is read", () => {
    const manifest = readManifest(tiny());
    expect(manifest.name).toBe("echoes-tiny");
    expect(manifest.tokens.audio.order.toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(manifest.sampling.guidanceSchedule).toBe("constant");
    const files = filesOf(manifest, GRAPHS).map(({ file }) => file);
    expect(files.filter((file) => file === "weights.safetensors")).toHaveLength(1);
    const graphs = GRAPHS.filter((name) => name in manifest.graphs);
    expect(graphs).toEqual(GRAPHS.filter((name) => name !== "confidence"));
    expect(files).toHaveLength(graphs.length + 1);
  });

  it.each(CASES.map((item) => [item.key, JSON.stringify(item.value)?.slice(0, 40), item] as const))(
    "with the broken rule %s = %s says so",
    (_, __, item) => {
      const data = tiny();
      const steps = item.key.split(".");
      const last = steps.pop()!;
      const parent = steps.reduce((part, name) => part[name], data);
      if ("value" in item) parent[last] = item.value;
      else delete parent[last];
      expect(() => readManifest(data)).toThrow(ManifestError);
      expect(() => readManifest(data)).toThrow(`manifest key ${item.names} `);
    },
  );

  it("is refused if its interval of guidance falls, or is no object", () => {
    const data = tiny();
    data.sampling.guidance_interval = [0.5, 0.25];
    expect(() => readManifest(data)).toThrow("manifest key sampling.guidance_interval ");
    expect(() => readManifest([])).toThrow(ManifestError);
  });

  it("may have keys and graphs from the future", () => {
    const data = tiny();
    data.future = data.mel.future = data.graphs.vocoder.future = { a: 1 };
    data.graphs.future = data.graphs.vocoder;
    const manifest = readManifest(data);
    expect(manifest.graphs["future"]!.file).toBe("vocoder.onnx");
    expect(manifest).not.toHaveProperty("future");
  });

  it("may lack what only other tasks need", () => {
    const data = tiny();
    const needed = ruleOf("graphs").required!;
    data.graphs = Object.fromEntries(needed.map((name) => [name, data.graphs[name]]));
    expect(Object.keys(readManifest(data).graphs)).toEqual(needed);
  });
});
