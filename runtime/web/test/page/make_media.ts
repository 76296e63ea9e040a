/** Makes a picture, a sound, and what the Python runtime makes of them, once for all tests. */

import { spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";

import type { TestProject } from "vitest/node";

import { REPOSITORY } from "../fixtures";
import { BUNDLE, ENVIRONMENT, PYTHON } from "./demo";

declare module "vitest" {
  interface ProvidedContext {
    /** The folder that they lie in. */
    media: string;
  }
}

export default function setup(project: TestProject): void {
  const folder = mkdtempSync(`${tmpdir()}/echoes-e2e-`);
  const script = `${REPOSITORY}tests/web/make_media.py`;
  const made = spawnSync(PYTHON, [script, BUNDLE, folder], { env: ENVIRONMENT, encoding: "utf8" });
  if (made.status !== 0) throw new Error(made.stderr);
  project.provide("media", folder);
}
