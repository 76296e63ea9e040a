/** The manifest of a bundle, read by the rules of docs/format.md. */

import { ManifestError, messageOf, shown } from "./errors";
import { readSampling, type Sampling } from "./sampling";
import { BrokenRule, check, ruleOf } from "./schema";

export const MANIFEST_NAME = "manifest.json";

/** The graphs that this program runs; a bundle may have others, and lack some of these. */
export const GRAPHS = [
  "image_encoder",
  "image_decoder",
  "confidence",
  "log_mel",
  "mel_encoder",
  "mel_decoder",
  "vocoder",
  "context_image",
  "context_audio",
  "decode_image_step",
  "decode_audio_step",
] as const;

export type GraphName = (typeof GRAPHS)[number];

export type Triple = readonly [number, number, number];

export interface ImageSpec {
  readonly height: number;
  readonly width: number;
  readonly mean: Triple;
  readonly std: Triple;
}

/** Log-mel parameters and the length of one clip. */
export interface MelSpec {
  readonly sample_rate: number;
  readonly n_fft: number;
  readonly win_length: number;
  readonly hop_length: number;
  readonly n_mels: number;
  readonly f_min: number;
  readonly f_max: number;
  readonly n_frames: number;
}

/** The codes of one medium: rows x columns, row-major, each in [0, codebook_size). */
export interface Grid {
  readonly height: number;
  readonly width: number;
  readonly codebook_size: number;
  /** Every position once, as decoding fills them in. */
  readonly order: readonly number[];
}

export type Medium = "image" | "audio";

export interface DataFile {
  /** Relative to the manifest, with forward slashes. */
  readonly file: string;
  readonly sha256: string;
  readonly size_bytes: number;
}

export interface GraphEntry extends DataFile {
  readonly precision: "fp32" | "fp16" | "int8";
  readonly external_data: readonly DataFile[];
}

export type Labels = Readonly<Record<string, readonly string[]>>;

/** The file's keys, but that those of `sampling` are the names of the options. */
export interface Manifest {
  readonly name: string;
  readonly license: string;
  readonly created_by: string;
  readonly description: string;
  /** What it knows, each with the categories of the pictures that taught it. */
  readonly labels: Labels;
  readonly image: ImageSpec;
  readonly mel: MelSpec;
  readonly tokens: Readonly<Record<Medium, Grid>>;
  readonly sampling: Sampling;
  readonly graphs: Readonly<Record<string, GraphEntry>>;
}

/** Reads parsed JSON; throws a ManifestError that names the first key that breaks a rule. */
export function readManifest(data: unknown): Manifest {
  if (data === null || typeof data !== "object" || Array.isArray(data)) {
    throw new ManifestError(`the manifest must be a JSON object, got ${shown(data)}`);
  }
  try {
    const checked = check(data, ruleOf()) as Manifest & { sampling: Record<string, unknown> };
    const manifest: Manifest = { ...checked, sampling: readSampling(checked.sampling) };
    checkMel(manifest);
    checkOrder(manifest);
    checkFiles(manifest);
    return manifest;
  } catch (error) {
    if (!(error instanceof BrokenRule)) throw error;
    throw new ManifestError(`manifest key ${messageOf(error)}`, { cause: error });
  }
}

/** Every file that the graphs of these names need, once. */
export function filesOf(manifest: Manifest, names: readonly string[]): DataFile[] {
  const files = new Map<string, DataFile>();
  for (const name of names) {
    const entry = manifest.graphs[name];
    if (entry) for (const part of [entry, ...entry.external_data]) files.set(part.file, part);
  }
  return [...files.values()];
}

export const clipSamples = (mel: MelSpec): number => mel.n_frames * mel.hop_length;

export const positionsOf = ({ height, width }: Grid): number => height * width;

/** What stands for an unknown code. */
export const maskToken = (grid: Grid): number => grid.codebook_size;

export const otherMedium = (medium: Medium): Medium => (medium === "image" ? "audio" : "image");

function checkMel({ mel, tokens }: Manifest): void {
  const { hop_length, win_length, n_fft, f_min, f_max, sample_rate } = mel;
  if (hop_length > win_length || win_length > n_fft) {
    const got = `${hop_length}, ${win_length}, ${n_fft}`;
    throw new BrokenRule("mel", `needs hop_length <= win_length <= n_fft, got ${got}`);
  }
  if (n_fft % hop_length !== 0) {
    const got = `${n_fft}, ${hop_length}`;
    throw new BrokenRule("mel", `needs an n_fft that is a multiple of hop_length, got ${got}`);
  }
  if (f_min >= f_max || f_max > sample_rate / 2) {
    const allowed = `f_min < f_max <= sample_rate / 2, ${sample_rate / 2} Hz`;
    throw new BrokenRule("mel", `needs ${allowed}, got ${f_min}, ${f_max}`);
  }
  const { width } = tokens.audio;
  if (mel.n_frames % width !== 0) {
    const allowed = `a multiple of tokens.audio.width, ${width}`;
    throw BrokenRule.wrong("mel.n_frames", mel.n_frames, allowed);
  }
}

/** The schema says that positions are whole numbers from 0 on without repeats. */
function checkOrder({ tokens }: Manifest): void {
  for (const [medium, grid] of Object.entries(tokens)) {
    const count = positionsOf(grid);
    if (grid.order.length !== count || Math.max(...grid.order) >= count) {
      const problem = `needs an order with each of its ${count} positions once, got `;
      throw new BrokenRule(`tokens.${medium}`, problem + shown(grid.order));
    }
  }
}

/** A file that two graphs share has one size and one checksum. */
function checkFiles({ graphs }: Manifest): void {
  const known = new Map<string, DataFile>();
  for (const [name, entry] of Object.entries(graphs)) {
    for (const part of [entry, ...entry.external_data]) {
      const first = known.get(part.file) ?? part;
      known.set(part.file, first);
      if (first.sha256 !== part.sha256 || first.size_bytes !== part.size_bytes) {
        throw new BrokenRule(
          `graphs.${name}`,
          `must give file ${part.file} the sha256 and size_bytes that another graph gives it, ` +
            `got ${part.sha256}, ${part.size_bytes}`,
        );
      }
    }
  }
}
