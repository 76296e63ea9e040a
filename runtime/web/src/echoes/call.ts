/** One call of a task: what was asked for besides the media. */

import type { OnStep } from "./decode";
import { InputError } from "./errors";
import type { Pixels } from "./image";
import { maskToken, positionsOf, type Medium } from "./manifest";
import { levelled, type Model } from "./model";
import { checkSeed, uniforms, VARY_STREAM } from "./noise";
import type { Picture, Sound } from "./results";
import { applyOptions, type Dials, type Sampling } from "./sampling";

/** What every task takes; what is missing is the bundle's sampling, and a seed is drawn. */
export interface Options extends Partial<Dials> {
  readonly seed?: bigint | number;
  readonly onStep?: OnStep;
}

export class Call {
  readonly seed: bigint;
  /** What is asked for, however many tokens are unknown. */
  private readonly asked: Sampling;
  private readonly timings: Record<string, number> = {};

  constructor(
    readonly model: Model,
    private readonly options: Options,
  ) {
    this.seed = checkSeed(options.seed);
    this.asked = applyOptions(model.manifest.sampling, options);
  }

  async stage<T>(name: string, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    const result = await work();
    this.timings[name] = (this.timings[name] ?? 0) + performance.now() - start;
    return result;
  }

  /** Tokens of a target of which nothing is known. */
  unknown(target: Medium): Int32Array {
    const grid = this.model.manifest.tokens[target];
    return new Int32Array(positionsOf(grid)).fill(maskToken(grid));
  }

  /** What is asked for, with no more steps than a target's tokens have unknown ones. */
  sampling(target: Medium, tokens = this.unknown(target)): Sampling {
    const mask = maskToken(this.model.manifest.tokens[target]);
    const nUnknown = tokens.reduce((sum, token) => sum + Number(token === mask), 0);
    return { ...this.asked, steps: Math.min(this.asked.steps, Math.max(1, nUnknown)) };
  }

  /** Fills in what is unknown of a target; `context` are codes of the other medium. */
  async decode(
    target: Medium,
    tokens: Int32Array,
    context: Int32Array | null,
    window = 0n,
  ): Promise<Int32Array> {
    if (!tokens.includes(maskToken(this.model.manifest.tokens[target]))) return tokens;
    return this.stage("decode tokens", () =>
      this.model.decodeTokens({
        target,
        tokens,
        context,
        seed: this.seed,
        sampling: this.sampling(target, tokens),
        window,
        onStep: this.options.onStep,
      }),
    );
  }

  /** A target's codes, of which each stays with probability `keep`, by the call's seed. */
  thinned(target: Medium, codes: Int32Array, keep: number): Int32Array {
    if (!(keep >= 0 && keep <= 1)) throw new InputError(`keep must be in [0, 1], got ${keep}`);
    const chances = uniforms(this.seed, VARY_STREAM, codes.length);
    const mask = maskToken(this.model.manifest.tokens[target]);
    return codes.map((code, i) => (chances[i]! < keep ? code : mask));
  }

  /** The sound of (N_a,) tokens, once filled in. */
  async soundOf(tokens: Int32Array, image: Int32Array | null): Promise<Sound> {
    const codes = await this.decode("audio", tokens, image);
    return this.hear(codes, this.sampling("audio", tokens));
  }

  /** The picture of (N_i,) tokens, once filled in. */
  async pictureOf(tokens: Int32Array, audio: Int32Array | null): Promise<Picture> {
    const codes = await this.decode("image", tokens, audio);
    return this.see(codes, this.sampling("image", tokens));
  }

  /** The sound of (N_a,) codes. */
  async hear(codes: Int32Array, sampling: Sampling): Promise<Sound> {
    const [mel, samples] = await this.stage("decode audio", async () => {
      const mel = await this.model.decodeMel(codes, this.seed);
      return [mel, levelled(await this.model.vocode(mel))] as const;
    });
    return this.sound(samples, mel, codes, sampling);
  }

  /** The picture of (N_i,) codes. */
  async see(codes: Int32Array, sampling: Sampling): Promise<Picture> {
    const pixels = await this.stage("decode image", () => this.model.decodeImage(codes));
    return { pixels, ...this.made(codes, sampling) };
  }

  sound(samples: Float32Array, mel: Float32Array, codes: Int32Array, sampling: Sampling): Sound {
    const sampleRate = this.model.manifest.mel.sample_rate;
    return { samples, sampleRate, mel, ...this.made(codes, sampling) };
  }

  encodeImage(image: Pixels): Promise<Int32Array> {
    return this.stage("encode image", () => this.model.encodeImage(image));
  }

  async encodeAudio(samples: Float32Array): Promise<Int32Array> {
    return (await this.encodeClip(samples))[1];
  }

  /** The log-mel and the codes of the first clip of a sound. */
  encodeClip(samples: Float32Array): Promise<readonly [mel: Float32Array, codes: Int32Array]> {
    return this.stage("encode audio", async () => {
      const mel = await this.model.clipMel(samples);
      return [mel, await this.model.encodeMel(mel)] as const;
    });
  }

  /** The log-mel of all of a sound. */
  logMel(samples: Float32Array): Promise<Float32Array> {
    return this.stage("log-mel", () => this.model.logMel(samples));
  }

  private made(codes: Int32Array, sampling: Sampling): Omit<Picture, "pixels"> {
    return {
      codes,
      seed: this.seed,
      sampling,
      bundle: this.model.manifest.name,
      device: this.model.device.label,
      timingsMs: this.timings,
    };
  }
}
