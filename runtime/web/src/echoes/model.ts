/** One loaded bundle: its graphs, and the one question that every task asks them. */

import type { Tensor } from "onnxruntime-web";

import type { Bundle } from "./bundle";
import { decode, type OnStep } from "./decode";
import type { Device } from "./device";
import { BundleError, InputError } from "./errors";
import { checkPixels, normalise, resize, toPixels, type Pixels } from "./image";
import {
  clipSamples,
  maskToken,
  otherMedium,
  type GraphName,
  type Manifest,
  type Medium,
} from "./manifest";
import { columnsOf, sideBySide } from "./numbers";
import { MEL_STREAM, uniforms } from "./noise";
import { makePlan } from "./plan";
import type { Sampling } from "./sampling";
import { Session, type Values } from "./session";

/** What is to be decoded. */
export interface Question {
  readonly target: Medium;
  /** (N,) codes of the target, its mask token where unknown. */
  readonly tokens: Int32Array;
  /** (N',) codes of the other medium; null: there is none. */
  readonly context: Int32Array | null;
  readonly seed: bigint;
  /** With no more steps than there are unknown tokens. */
  readonly sampling: Sampling;
  /** Which decoding of one call this is; it has its own noise. */
  readonly window: bigint;
  readonly onStep?: OnStep | undefined;
}

/** Values in one row, or of the shape that comes with them. */
type Input = readonly [values: Values, dims?: readonly number[]];
type Inputs = Readonly<Record<string, Input>>;

export class Model {
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
    const inputs: Inputs = { image: [normal, [1, 3, spec.height, spec.width]] };
    const codes = await this.run("image_encoder", inputs, "codes");
    return this.checkCodes(codes, "image", "image_encoder");
  }

  /** `Sound.confidence` of a picture's (N_i,) codes. */
  async confidence(image: Int32Array): Promise<number | undefined> {
    if (!("confidence" in this.manifest.graphs)) return undefined;
    return (await this.floats("confidence", { codes: [image] }, "confidence"))[0];
  }

  /**
   * Log-mel (n_mels, S // hop_length) of (S,) samples.
   *
   * The graph sees a clip's frames at a time and the samples round them, so that memory does not
   * grow with the sound.
   */
  async logMel(samples: Float32Array): Promise<Float32Array> {
    const { n_fft, hop_length, n_mels, n_frames } = this.manifest.mel;
    const nFrames = Math.floor(samples.length / hop_length);
    const mirrorable = padded(samples, Math.floor(n_fft / 2) + 1);
    const parts: Float32Array[] = [new Float32Array(0)];
    const margin = n_fft / hop_length;
    for (let first = 0; first < nFrames; first += n_frames) {
      const last = Math.min(first + n_frames, nFrames);
      const start = Math.max(0, first - margin);
      const heard = mirrorable.subarray(start * hop_length, (last + margin) * hop_length);
      const mel = await this.floats("log_mel", { samples: [heard] }, "mel");
      parts.push(columnsOf(mel, n_mels, first - start, last - start));
    }
    return sideBySide(parts, n_mels);
  }

  /** Log-mel (n_mels, n_frames) of the first clip of a sound, which silence makes full. */
  async clipMel(samples: Float32Array): Promise<Float32Array> {
    const length = clipSamples(this.manifest.mel);
    return this.logMel(padded(checkSamples(samples).subarray(0, length), length));
  }

  /** (N_a,) codes of a log-mel (n_mels, n_frames). */
  async encodeMel(mel: Float32Array): Promise<Int32Array> {
    const { n_mels, n_frames } = this.manifest.mel;
    const inputs: Inputs = { mel: [mel, [1, n_mels, n_frames]] };
    const codes = await this.run("mel_encoder", inputs, "codes");
    return this.checkCodes(codes, "audio", "mel_encoder");
  }

  /** Fills in what is unknown and keeps the rest: (N,) with no mask left. */
  async decodeTokens(question: Question): Promise<Int32Array> {
    const { target, tokens, seed, sampling, window, onStep } = question;
    const grid = this.manifest.tokens[target];
    const mask = maskToken(grid);
    const unknown = grid.order.filter((position) => tokens[position] === mask);
    const name = `decode_${target}_step` as const;
    const decoded = await decode(
      await this.session(name),
      tokens,
      await this.context(target, question.context),
      makePlan(unknown, sampling),
      uniforms(seed, window, tokens.length),
      onStep,
    );
    return this.checkCodes(decoded, target, name);
  }

  async decodeImage(codes: Int32Array): Promise<Pixels> {
    const normal = await this.floats("image_decoder", { codes: [codes] }, "image");
    return toPixels(normal, this.manifest.image);
  }

  /**
   * Log-mel (n_mels, n_frames) of (N_a,) codes.
   *
   * @param seed - Of the noise, where the decoder takes some to draw what codes leave open.
   */
  async decodeMel(codes: Int32Array, seed: bigint, window = 0n): Promise<Float32Array> {
    const inputs: Record<string, Input> = { codes: [codes] };
    const noise = (await this.session("mel_decoder")).input("noise");
    if (noise) {
      const dims = [1, ...noise.shape.slice(1).map(Number)];
      const count = dims.reduce((product, dim) => product * dim);
      inputs["noise"] = [uniforms(seed, MEL_STREAM + window, count), dims];
    }
    return this.floats("mel_decoder", inputs, "mel");
  }

  /** Samples of a log-mel, of any height. */
  async vocode(mel: Float32Array): Promise<Float32Array> {
    const { n_mels } = this.manifest.mel;
    return this.floats("vocoder", { mel: [mel, [1, n_mels, mel.length / n_mels]] }, "waveform");
  }

  async release(): Promise<void> {
    for (const session of this.sessions.values()) await (await session).release();
    this.sessions.clear();
  }

  /** What decoding a target needs of the other medium's codes; of null, no rows. */
  private async context(target: Medium, codes: Int32Array | null): Promise<Tensor> {
    if (!codes) return (await this.session(`decode_${target}_step`)).noRows("context");
    const graph = await this.session(`context_${otherMedium(target)}`);
    const outputs = await graph.run({ codes: graph.tensor(codes) });
    return outputs["context"]!;
  }

  private async run(name: GraphName, inputs: Inputs, output: string): Promise<Values> {
    const session = await this.session(name);
    const tensors = Object.entries(inputs).map(([input, [values, dims]]) => [
      input,
      session.tensor(values, dims),
    ]);
    const outputs = await session.run(Object.fromEntries(tensors));
    return (await outputs[output]!.getData()) as Values;
  }

  private async floats(name: GraphName, inputs: Inputs, output: string): Promise<Float32Array> {
    const made = (await this.run(name, inputs, output)) as Float32Array;
    if (!made.every(Number.isFinite)) {
      throw new BundleError(
        `the ${name} of bundle ${this.manifest.name} gave values that are not numbers on ` +
          `${this.device.label}; use WebAssembly or get the bundle again`,
      );
    }
    return made;
  }

  /** Refuses what other graphs would look up outside of their tables, or take for unknown. */
  private checkCodes(codes: Values, medium: Medium, name: GraphName): Int32Array {
    const { codebook_size } = this.manifest.tokens[medium];
    if (!codes.every((code) => code >= 0 && code < codebook_size)) {
      throw new BundleError(
        `the ${name} of bundle ${this.manifest.name} gave other codes than the manifest says; ` +
          "get the bundle again",
      );
    }
    return codes as Int32Array;
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

/** Samples that silence follows if they are too few. */
function padded(samples: Float32Array, least: number): Float32Array {
  if (samples.length >= least) return samples;
  const enough = new Float32Array(least);
  enough.set(samples);
  return enough;
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
