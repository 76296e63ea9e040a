/** Starts `echoes-rt demo` and a browser; makes once for all tests what they put into the page. */

import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";

import { chromium, type Browser } from "playwright-core";
import type { TestProject } from "vitest/node";

import { ENVIRONMENT, PYTHON, REPOSITORY } from "../fixtures";

const BUNDLE = process.env["ECHOES_RT_BUNDLE"] ?? "echoes-mini";

const CHROMIUMS = [
  process.env["ECHOES_RT_CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

export async function startDemo(port = 0): Promise<{ url: string; process: ChildProcess }> {
  const args = ["-m", "echoes_rt", "demo", "--port", String(port), "--bundle", BUNDLE];
  const server = spawn(PYTHON, args, {
    env: { ...ENVIRONMENT, PYTHONUNBUFFERED: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: server.stdout })) {
    return { url: line, process: server };
  }
  throw new Error("echoes-rt demo has ended");
}

export function startBrowser(): Promise<Browser> {
  const executablePath = CHROMIUMS.find((path) => path && existsSync(path));
  if (!executablePath) throw new Error("no Chromium found; name one by ECHOES_RT_CHROMIUM");
  return chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
      "--autoplay-policy=no-user-gesture-required",
      "--mute-audio",
    ],
  });
}

declare module "vitest" {
  interface ProvidedContext {
    /** The folder that they lie in. */
    media: string;
  }
}

/** Makes a picture, a sound, and what the Python runtime makes of them. */
export default function setup(project: TestProject): void {
  const folder = mkdtempSync(`${tmpdir()}/echoes-e2e-`);
  const script = `${REPOSITORY}tests/web/make_media.py`;
  const made = spawnSync(PYTHON, [script, BUNDLE, folder], { env: ENVIRONMENT, encoding: "utf8" });
  if (made.status !== 0) throw new Error(made.stderr);
  project.provide("media", folder);
}
