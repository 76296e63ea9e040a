/// <reference types="vitest/config" />

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { defineConfig, type Plugin } from "vite";

const BUILT = fileURLToPath(new URL("../echoes_rt/web", import.meta.url));
const SERVICE_WORKER = "service_worker.js";

/** Tells the service worker what to keep: every asset, WebGPU's only once they are used. */
function listedForOffline(): Plugin {
  return {
    name: "listed-for-offline",
    generateBundle(_, bundle) {
      const assets = Object.keys(bundle)
        .filter((file) => file.startsWith("assets/") && !file.endsWith(".map"))
        .toSorted();
      const files = {
        atOnce: assets.filter((file) => !file.includes(".jspi")),
        whenUsed: assets.filter((file) => file.includes(".jspi")),
      };
      const source = readFileSync(new URL("src/page/service_worker.js", import.meta.url), "utf8");
      this.emitFile({
        type: "asset",
        fileName: SERVICE_WORKER,
        // Names of assets hold their checksums, so that the list is also a version.
        source: source.replace("__FILES__", JSON.stringify(files)),
      });
    },
  };
}

/** What the page is made of besides our own code. */
function licenses(): Plugin {
  const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");
  return {
    name: "licenses",
    generateBundle() {
      const { dependencies } = JSON.parse(read("package.json"));
      const texts = Object.keys(dependencies).map((name) => {
        const folder = `node_modules/${name}`;
        const { version, license, repository } = JSON.parse(read(`${folder}/package.json`));
        const text = existsSync(new URL(`${folder}/LICENSE`, import.meta.url))
          ? read(`${folder}/LICENSE`)
          : `Its text: ${repository.url}`;
        return `${name} ${version}: ${license}\n\n${text}`;
      });
      this.emitFile({ type: "asset", fileName: "licenses.txt", source: texts.join("\n\n---\n\n") });
    },
  };
}

const isTiny = process.env["ECHOES_RT_TEST_BUNDLE"] === undefined;

const parts = {
  name: "parts",
  include: ["test/*.test.ts"],
  globalSetup: ["test/fixtures.ts"],
  testTimeout: isTiny ? 120_000 : 3_600_000,
  hookTimeout: 120_000,
  fileParallelism: false,
};

const page = {
  name: "page",
  include: ["test/page/*.test.ts"],
  globalSetup: ["test/page/demo.ts"],
  testTimeout: 600_000,
  hookTimeout: 900_000,
};

export default defineConfig({
  base: "./",
  plugins: [licenses(), listedForOffline()],
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser"] },
  worker: { format: "es" },
  build: { outDir: BUILT, emptyOutDir: true, target: "es2022", assetsInlineLimit: 0 },
  server: {
    headers: {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    },
  },
  test: { projects: [{ test: parts }, { test: page }] },
});
