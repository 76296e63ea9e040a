/** What many tests need: golden files, the tiny bundle, what the Python runtime gives. */

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";

import { vi } from "vitest";

import type { Sound } from "../src/echoes/results";

export const REPOSITORY = fileURLToPath(new URL("../../../", import.meta.url));
export const TINY_BUNDLE = `${REPOSITORY}tests/fixtures/tiny_bundle`;
/** What the verbs are compared with Python's on. */
export const TEST_BUNDLE = process.env["ECHOES_RT_TEST_BUNDLE"] ?? TINY_BUNDLE;
export const EXPECTED = fileURLToPath(new URL("expected.json", import.meta.url));

/** Of the Python runtime. */
export const PYTHON = process.env["ECHOES_RT_PYTHON"] ?? "python3";
const PYTHONPATH = [`${REPOSITORY}runtime`, REPOSITORY].join(delimiter);
export const ENVIRONMENT = { ...process.env, PYTHONPATH };

/** Asks the Python runtime, once for all tests. */
export function setup(): void {
  const script = `${REPOSITORY}tests/web/make_expected.py`;
  const seeds = process.env["ECHOES_RT_SEEDS"] ?? "50";
  const options = { env: ENVIRONMENT, stdio: "inherit" } as const;
  execFileSync(PYTHON, [script, TEST_BUNDLE, EXPECTED, seeds], options);
}

/* eslint-disable-next-line -- JSON of our own making, checked by what is compared with it */
type Json = any;

export const readJson = (path: string): Json => JSON.parse(readFileSync(path, "utf8"));
export const golden = (name: string): Json =>
  readJson(`${REPOSITORY}tests/fixtures/golden/${name}.json`);

export function bytes(base64: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(base64, "base64"));
}

export function floats(base64: string): Float32Array {
  return new Float32Array(bytes(base64).buffer);
}

/** Python's names as ours. */
export function camel(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );
}

/** The largest difference between two arrays of one length. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]! - b[i]!));
  return most;
}

/** A stream's parts as one sound, with what the last of them says. */
export async function whole(parts: AsyncIterable<Sound>): Promise<Sound> {
  const made: Sound[] = [];
  for await (const part of parts) made.push(part);
  const samples = Float32Array.from(made.flatMap((part) => [...part.samples]));
  return { ...made.at(-1)!, samples };
}

/**
 * Answers fetches under http://bundle/ with the files of a folder, which may be changed; of a file
 * that is not there nothing is to be changed.
 */
export function serve(
  folder: string,
  change: (file: string, data: Buffer) => Buffer | undefined = (_, data) => data,
): string {
  vi.stubGlobal("fetch", async (address: string) => {
    const file = new URL(address).pathname.slice(1);
    const path = `${folder}/${file}`;
    const data = change(file, existsSync(path) ? readFileSync(path) : Buffer.alloc(0));
    return data ? new Response(new Uint8Array(data)) : new Response(null, { status: 404 });
  });
  return "http://bundle/";
}
