/** One loaded bundle: its graphs, and the one question that every task asks them. */

import type { Bundle } from "./bundle";
import { decode, type OnStep } from "./decode";
import type { Device } from "./device";
import { BundleError, InputError } from "./errors";
import { checkPixels, normalise, resize, toPixels, type Pixels } from "./image";
import type { Manifest } from "./manifest";
import { clipMel } from "./mel";
import { uniforms } from "./noise";
import { knownMedia, makePlan } from "./plan";
import { Session } from "./session";
import type { GraphName } from "./signatures";
import type { Grid, Sampling } from "./spec";

/** What is to be decoded: one sequence. */
export interface Ask {
  /** (N,), the mask token where unknown. */
  readonly tokens: Int32Array;
  readonly seed: bigint;
  readonly sampling: Sampling;
  /** Which decoding of one call this is; it has its own noise. */
  readonly window?: bigint;
  readonly onStep?: OnStep | undefined;
}

export class Engine {
  private readonly sessions = new Map<GraphName, Promise<Session>>();

  constructor(
    readonly bundle: Bundle,
    readonly device: Device,
  ) {}

  get manifest(): Manifest {
    return this.bundle.manifest;
  }

  /** Loads graphs that will be needed; without it they are loaded when first run. */
  async prepare(...names: GraphName[]): Promise<void> {
    // One after the other: ONNX Runtime for the web cannot start two sessions at once.
    for (const name of names) await this.session(name);
  }

  /** (N_i,) codes of a picture of any size. */
  async encodeImage(image: Pixels): Promise<Int32Array> {
    const spec = this.manifest.image;
    const normal = normalise(resize(checkPixels(image), spec), spec);
    const dims = [1, 3, spec.height, spec.width];
    return this.codes("image_encoder", "image", normal, dims, this.manifest.tokens.image);
  }

  /** (N_a,) codes of the first clip of samples at the model's rate. */
  async encodeAudio(samples: Float32Array): Promise<Int32Array> {
    return this.encodeMel(clipMel(checkSamples(samples), this.manifest.mel));
  }

  async encodeMel(mel: Float32Array): Promise<Int32Array> {
    const { n_mels, n_frames } = this.manifest.mel;
    const grid = this.manifest.tokens.audio;
    return this.codes("mel_encoder", "mel", mel, [1, n_mels, n_frames], grid);
  }

  /** Fills in what is masked and keeps the rest. */
  async decodeTokens(ask: Ask): Promise<Int32Array> {
    const layout = this.manifest.tokens;
    const { maskTokenId, nTokens, vocabSize } = layout;
    const mask = Uint8Array.from(ask.tokens, (token) => (token === maskTokenId ? 1 : 0));
    const { sampling } = ask;
    const nUnknown = mask.reduce((sum, isUnknown) => sum + isUnknown, 0);
    const step = await this.session("step");
    const decoded = await decode(
      async (tokens, members) =>
        (await step.run("tokens", tokens, [members, nTokens], "logits")) as Float32Array,
      {
        members: 1,
        tokens: ask.tokens,
        mask,
        condition: knownMedia(mask, layout),
        maskTokenId,
        vocabSize,
      },
      makePlan([nUnknown], sampling),
      [uniforms(ask.seed, 2 * sampling.steps * nTokens, ask.window)],
      ask.onStep,
    );
    this.checkCodes(decoded.subarray(0, layout.image.nTokens), layout.image, "step");
    this.checkCodes(decoded.subarray(layout.image.nTokens), layout.audio, "step");
    return decoded;
  }

  async decodeImage(codes: Int32Array): Promise<Pixels> {
    const normal = await this.float32("image_decoder", "codes", codes, [1, codes.length], "image");
    return toPixels(normal, this.manifest.image);
  }

  /** Log-mel (n_mels, n_frames) of (N_a,) codes. */
  async decodeMel(codes: Int32Array): Promise<Float32Array> {
    return this.float32("mel_decoder", "codes", codes, [1, codes.length], "mel");
  }

  /** Samples of a log-mel, of any height. */
  async vocode(mel: Float32Array): Promise<Float32Array> {
    const { n_mels } = this.manifest.mel;
    return this.float32("vocoder", "mel", mel, [1, n_mels, mel.length / n_mels], "waveform");
  }

  async release(): Promise<void> {
    for (const session of this.sessions.values()) await (await session).release();
    this.sessions.clear();
  }

  private async codes(
    name: GraphName,
    input: string,
    values: Float32Array,
    dims: readonly number[],
    grid: Grid,
  ): Promise<Int32Array> {
    const codes = await (await this.session(name)).run(input, values, dims, "codes");
    this.checkCodes(codes as Int32Array, grid, name);
    return codes as Int32Array;
  }

  /** Refuses what other graphs would look up outside of their tables, or take for unknown. */
  private checkCodes(codes: Int32Array, grid: Grid, name: GraphName): void {
    if (!codes.every((code) => code >= 0 && code < grid.codebookSize)) {
      throw new BundleError(
        `the ${name} of bundle ${this.manifest.name} gave other codes than the manifest says; ` +
          "get the bundle again",
      );
    }
  }

  private async float32(
    name: GraphName,
    input: string,
    values: Float32Array | Int32Array,
    dims: readonly number[],
    output: string,
  ): Promise<Float32Array> {
    const made = (await (await this.session(name)).run(input, values, dims, output)) as Float32Array;
    if (!made.every(Number.isFinite)) {
      throw new BundleError(
        `the ${name} of bundle ${this.manifest.name} gave values that are not numbers on ` +
          `${this.device.label}; use WebAssembly or get the bundle again`,
      );
    }
    return made;
  }

  private session(name: GraphName): Promise<Session> {
    let session = this.sessions.get(name);
    if (!session) {
      session = Session.create(this.bundle, name, this.device);
      this.sessions.set(name, session);
      session.catch(() => this.sessions.delete(name)); // so that it can be tried again
    }
    return session;
  }
}

export function checkSamples(samples: Float32Array): Float32Array {
  if (samples.length === 0 || !samples.every(Number.isFinite)) {
    throw new InputError(`a sound needs finite samples, got ${samples.length} of them`);
  }
  return samples;
}

const QUIETEST_RMS = 0.01;
/** The least float32 that is not subnormal. */
const SMALLEST = 2 ** -126;

/** Scaled, never clipped, and raised to an RMS of -40 dBFS as far as the peak allows. */
export function levelled(samples: Float32Array): Float32Array {
  let peak = 0;
  let power = 0;
  for (const sample of samples) {
    peak = Math.max(peak, Math.abs(sample));
    power += sample * sample;
  }
  const rms = Math.sqrt(power / samples.length);
  const raised = Math.max(1, QUIETEST_RMS / Math.max(rms, SMALLEST));
  const gain = Math.min(raised, 1 / Math.max(peak, SMALLEST));
  return samples.map((sample) => sample * gain);
}
