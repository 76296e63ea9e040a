/** The manifest of a bundle, read by the rules of docs/format.md. */

import { ManifestError } from "./errors";
import { Field, ObjectField, shown } from "./json_fields";
import { general } from "./numbers";
import {
  checkSignature,
  GRAPHS,
  graphSignatures,
  REQUIRED_GRAPHS,
  type Dim,
  type GraphName,
  type Signature,
  type Tensor,
} from "./signatures";
import {
  Grid,
  GUIDANCE_SCHEDULES,
  samplingProblem,
  TokenLayout,
  type ImageSpec,
  type MelSpec,
  type Sampling,
  type Triple,
} from "./spec";

export const MANIFEST_NAME = "manifest.json";

const FORMAT_VERSION = 1;
const MAX_TOKENS = 1 << 14;
const MAX_FILE_BYTES = 2 ** 34;

const PRECISIONS = ["fp32", "fp16", "int8"] as const;
const DTYPES = ["float32", "float16", "int32", "int64", "uint8", "bool"] as const;

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const GRAPH_NAME = /^[a-z][a-z0-9_]{0,63}$/;
const LINE = /^(?!\p{White_Space})[^\x00-\x1f\x7f-\x9f]{1,1000}$/u;
const TEXT = /^[^\x00-\x09\x0b-\x1f\x7f-\x9f]{0,10000}$/u;
const SHA256 = /^[0-9a-f]{64}$/;
const FILE = /^(?!\/)[A-Za-z0-9._\-/ ]{1,255}(?<!\/)$/;
const FILE_ALLOWED =
  "a path inside the bundle's folder, of A-Z, a-z, 0-9, '.', '_', '-', ' ' and '/'";

export interface DataFile {
  /** Relative to the manifest, with forward slashes. */
  readonly file: string;
  readonly sha256: string;
  readonly sizeBytes: number;
}

export interface GraphEntry extends DataFile {
  readonly precision: (typeof PRECISIONS)[number];
  readonly signature: Signature;
  readonly externalData: readonly DataFile[];
}

export interface Manifest {
  readonly name: string;
  readonly license: string;
  readonly createdBy: string;
  readonly description: string;
  readonly labels: readonly string[];
  readonly image: ImageSpec;
  readonly mel: MelSpec;
  readonly tokens: TokenLayout;
  readonly sampling: Sampling;
  /** By name; names that this program does not know are kept and not run. */
  readonly graphs: Readonly<Record<string, GraphEntry>>;
}

/** Reads parsed JSON; throws a ManifestError that names the first key that breaks a rule. */
export function readManifest(data: unknown): Manifest {
  if (data === null || typeof data !== "object" || Array.isArray(data)) {
    throw new ManifestError(`the manifest must be a JSON object, got ${shown(data)}`);
  }
  const root = new ObjectField("", data as Record<string, unknown>);
  checkVersion(root.field("format_version"));
  const tokens = readTokens(root.field("tokens").object());
  const manifest: Manifest = {
    name: root.field("name").string(NAME, "1 to 64 of a-z, 0-9, '.', '_', '-'"),
    license: readLine(root.field("license")),
    createdBy: readLine(root.field("created_by")),
    description: root
      .optional("description", "")
      .string(TEXT, "text of at most 10000 characters"),
    labels: readLabels(root.field("labels")),
    image: readImage(root.field("image").object()),
    mel: readMel(root.field("mel").object(), tokens),
    tokens,
    sampling: readSampling(root.field("sampling").object(), tokens),
    graphs: readGraphs(root.field("graphs").object()),
  };
  checkGraphs(manifest);
  return manifest;
}

/** Every file that the graphs of these names need, once. */
export function filesOf(manifest: Manifest, names: readonly GraphName[]): DataFile[] {
  const files = new Map<string, DataFile>();
  for (const name of names) {
    const entry = manifest.graphs[name];
    if (entry) for (const part of [entry, ...entry.externalData]) files.set(part.file, part);
  }
  return [...files.values()];
}

function checkVersion(field: Field): void {
  if (field.value !== FORMAT_VERSION) {
    throw new ManifestError(
      `manifest key format_version must be ${FORMAT_VERSION}, got ${shown(field.value)}; ` +
        "install the version of echoes-rt that reads this bundle",
    );
  }
}

function readLine(field: Field): string {
  return field.string(LINE, "a line of text");
}

function readLabels(field: Field): string[] {
  const labels = field.array(0, 10_000, "labels").map(readLine);
  if (new Set(labels).size < labels.length) throw field.wrong("an array without repeats");
  return labels;
}

function readImage(part: ObjectField): ImageSpec {
  const triple = (name: string, low: number) =>
    part
      .field(name)
      .array(3, 3, "numbers")
      .map((item) => item.number(low, 255)) as unknown as Triple;
  return {
    height: part.field("height").integer(1, 4096),
    width: part.field("width").integer(1, 4096),
    mean: triple("mean", -255),
    std: triple("std", 1e-6),
  };
}

function readMel(part: ObjectField, tokens: TokenLayout): MelSpec {
  const size = (name: string, limit: number) => part.field(name).integer(1, limit);
  const mel: MelSpec = {
    sample_rate: size("sample_rate", 384_000),
    n_fft: size("n_fft", 1 << 16),
    win_length: size("win_length", 1 << 16),
    hop_length: size("hop_length", 1 << 16),
    n_mels: size("n_mels", 1024),
    n_frames: size("n_frames", 1 << 17),
    f_min: part.field("f_min").number(0, 192_000),
    f_max: part.field("f_max").number(0, 192_000),
  };
  const problem = melProblem(mel);
  if (problem) throw new ManifestError(`manifest key mel is refused: ${problem}`);
  const { width } = tokens.audio;
  if (mel.n_frames % width !== 0) {
    throw part.field("n_frames").wrong(`a multiple of tokens.audio.width, ${width}`);
  }
  return mel;
}

function melProblem(mel: MelSpec): string | undefined {
  const { hop_length, win_length, n_fft, f_min, f_max, sample_rate } = mel;
  if (hop_length > win_length || win_length > n_fft) {
    return `mel needs hop_length <= win_length <= n_fft, got ${hop_length}, ${win_length}, ${n_fft}`;
  }
  if (n_fft % hop_length !== 0) {
    return `n_fft must be a multiple of hop_length, got ${n_fft}, ${hop_length}`;
  }
  if (!(f_min < f_max && f_max <= sample_rate / 2)) {
    return (
      `mel needs 0 <= f_min < f_max <= ${general(sample_rate / 2)} Hz, got ` +
      `${general(f_min)}, ${general(f_max)}`
    );
  }
  return undefined;
}

function readTokens(part: ObjectField): TokenLayout {
  const layout = new TokenLayout(
    readGrid(part.field("image").object()),
    readGrid(part.field("audio").object()),
  );
  if (layout.nTokens > MAX_TOKENS) {
    throw new ManifestError(
      `manifest key tokens must hold at most ${MAX_TOKENS} tokens, got ${layout.nTokens}`,
    );
  }
  return layout;
}

function readGrid(part: ObjectField): Grid {
  return new Grid(
    part.field("height").integer(1, 1024),
    part.field("width").integer(1, 1024),
    part.field("codebook_size").integer(1, 1 << 16),
  );
}

function readSampling(part: ObjectField, tokens: TokenLayout): Sampling {
  const interval = part
    .optional("guidance_interval", [0, 1])
    .array(2, 2, "numbers")
    .map((share) => share.number(0, 1));
  const sampling: Sampling = {
    steps: part.field("steps").integer(1, tokens.audio.nTokens),
    guidanceScale: part.field("guidance_scale").number(0, 1000),
    temperature: part.field("temperature").number(0, 1000),
    choiceTemperature: part.field("choice_temperature").number(0, 1000),
    guidanceSchedule: part.optional("guidance_schedule", "constant").choice(GUIDANCE_SCHEDULES),
    guidanceInterval: [interval[0]!, interval[1]!],
  };
  const problem = samplingProblem(sampling);
  if (problem) throw new ManifestError(`manifest key sampling is refused: ${problem}`);
  return sampling;
}

function readGraphs(part: ObjectField): Record<string, GraphEntry> {
  for (const name of part.names) {
    if (!GRAPH_NAME.test(name)) {
      throw new ManifestError(
        `manifest key graphs must name graphs by 1 to 64 of a-z, 0-9, '_', got ${shown(name)}`,
      );
    }
  }
  for (const name of REQUIRED_GRAPHS) part.field(name).object();
  return Object.fromEntries(part.names.map((name) => [name, readGraph(part.field(name).object())]));
}

function readGraph(part: ObjectField): GraphEntry {
  return {
    ...readFile(part),
    precision: part.field("precision").choice(PRECISIONS),
    signature: {
      inputs: readTensors(part.field("inputs").object()),
      outputs: readTensors(part.field("outputs").object()),
    },
    externalData: part
      .optional("external_data", [])
      .array(0, 64, "files")
      .map((item) => readFile(item.object())),
  };
}

function readFile(part: ObjectField): DataFile {
  const field = part.field("file");
  const file = field.string(FILE, FILE_ALLOWED);
  if (file.split("/").some((step) => step === "" || step === "." || step === "..")) {
    throw field.wrong(FILE_ALLOWED);
  }
  if (file === MANIFEST_NAME) throw field.wrong(`a file other than ${MANIFEST_NAME}`);
  return {
    file,
    sha256: part.field("sha256").string(SHA256, "64 lower-case hexadecimal digits"),
    sizeBytes: part.field("size_bytes").integer(1, MAX_FILE_BYTES),
  };
}

function readTensors(part: ObjectField): Record<string, Tensor> {
  return Object.fromEntries(
    part.names.map((name) => {
      const [dtype, shape] = part.field(name).array(2, 2, "items, a dtype and a shape");
      const dims = shape!.array(0, 8, "dimensions").map(readDim);
      return [name, { dtype: dtype!.choice(DTYPES), shape: dims }];
    }),
  );
}

function readDim(field: Field): Dim {
  if (typeof field.value === "string") return field.string(GRAPH_NAME, "a dimension's name");
  return field.integer(1, 2 ** 31 - 1);
}

/** Signatures of the graphs that are run, and one size and checksum for each shared file. */
function checkGraphs(manifest: Manifest): void {
  const signatures = graphSignatures(manifest.image, manifest.mel, manifest.tokens);
  for (const name of GRAPHS) {
    const entry = manifest.graphs[name];
    if (entry) checkSignature(name, entry.signature, signatures[name]);
  }
  const known = new Map<string, DataFile>();
  for (const [name, entry] of Object.entries(manifest.graphs)) {
    for (const part of [entry, ...entry.externalData]) {
      const first = known.get(part.file) ?? part;
      known.set(part.file, first);
      if (first.sha256 !== part.sha256 || first.sizeBytes !== part.sizeBytes) {
        throw new ManifestError(
          `manifest key graphs.${name} must give file ${part.file} the sha256 and size_bytes ` +
            `that another graph gives it, got ${part.sha256}, ${part.sizeBytes}`,
        );
      }
    }
  }
}
