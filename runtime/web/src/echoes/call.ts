/** One call of a verb: what was asked for besides the media. */

import type { OnStep } from "./decode";
import { levelled, type Engine } from "./engine";
import { InputError } from "./errors";
import { checkSeed, uniforms } from "./noise";
import { applyOptions } from "./plan";
import type { Pixels } from "./image";
import type { Picture, Sound } from "./results";
import type { Sampling } from "./spec";

/** The dials of every verb; what is missing is the bundle's default, and a seed is drawn. */
export interface Options extends Partial<Sampling> {
  readonly seed?: bigint | number;
  readonly onStep?: OnStep;
}

/** The noise that chooses which codes `vary` keeps; no other decoding gets that far. */
const VARY_WINDOW = 2n ** 64n - 1n;

export class Call {
  readonly seed: bigint;
  /** What is asked for, whatever is unknown. */
  private readonly dials: Sampling;
  private readonly timings: Record<string, number> = {};

  constructor(
    readonly engine: Engine,
    private readonly options: Options,
  ) {
    const { sampling, tokens } = engine.manifest;
    this.seed = checkSeed(options.seed);
    this.dials = applyOptions(sampling, tokens.nTokens, options);
  }

  async stage<T>(name: string, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    const result = await work();
    this.timings[name] = (this.timings[name] ?? 0) + performance.now() - start;
    return result;
  }

  /** Tokens that hold what is known; null: all of that medium is unknown. */
  question(image: Int32Array | null, audio: Int32Array | null): Int32Array {
    const { nTokens, maskTokenId, image: grid } = this.engine.manifest.tokens;
    const tokens = new Int32Array(nTokens).fill(maskTokenId);
    if (image) tokens.set(image);
    if (audio) tokens.set(audio, grid.nTokens);
    return tokens;
  }

  /** The dials of one decoding, which takes no more steps than there are unknown tokens. */
  sampling(tokens: Int32Array): Sampling {
    const { maskTokenId } = this.engine.manifest.tokens;
    const nUnknown = tokens.reduce((sum, token) => sum + Number(token === maskTokenId), 0);
    return { ...this.dials, steps: Math.min(this.dials.steps, Math.max(1, nUnknown)) };
  }

  /** Fills in what is unknown; codes of both media. */
  async decode(
    tokens: Int32Array,
    window = 0n,
  ): Promise<{ image: Int32Array; audio: Int32Array }> {
    const { maskTokenId, image } = this.engine.manifest.tokens;
    const decoded = tokens.includes(maskTokenId)
      ? await this.stage("decode tokens", () =>
          this.engine.decodeTokens({
            tokens,
            seed: this.seed,
            sampling: this.sampling(tokens),
            window,
            onStep: this.options.onStep,
          }),
        )
      : tokens;
    return { image: decoded.slice(0, image.nTokens), audio: decoded.slice(image.nTokens) };
  }

  /** Codes of which each stays with probability `keep`, by the call's seed. */
  thinned(codes: Int32Array, keep: number): Int32Array {
    if (!(keep >= 0 && keep <= 1)) throw new InputError(`keep must be in [0, 1], got ${keep}`);
    const chances = uniforms(this.seed, codes.length, VARY_WINDOW);
    const { maskTokenId } = this.engine.manifest.tokens;
    return codes.map((code, i) => (chances[i]! < keep ? code : maskTokenId));
  }

  /** The sound of (N_a,) codes. */
  async hear(codes: Int32Array, sampling: Sampling): Promise<Sound> {
    const [mel, samples] = await this.stage("decode audio", async () => {
      const mel = await this.engine.decodeMel(codes);
      return [mel, levelled(await this.engine.vocode(mel))] as const;
    });
    return this.sound(samples, mel, codes, sampling);
  }

  /** The picture of (N_i,) codes. */
  async see(codes: Int32Array, sampling: Sampling): Promise<Picture> {
    const pixels = await this.stage("decode image", () => this.engine.decodeImage(codes));
    return { pixels, ...this.made(codes, sampling) };
  }

  sound(samples: Float32Array, mel: Float32Array, codes: Int32Array, sampling: Sampling): Sound {
    const sampleRate = this.engine.manifest.mel.sample_rate;
    return { samples, sampleRate, mel, ...this.made(codes, sampling) };
  }

  encodeImage(image: Pixels): Promise<Int32Array> {
    return this.stage("encode image", () => this.engine.encodeImage(image));
  }

  encodeAudio(samples: Float32Array): Promise<Int32Array> {
    return this.stage("encode audio", () => this.engine.encodeAudio(samples));
  }

  private made(codes: Int32Array, sampling: Sampling): Omit<Picture, "pixels"> {
    return {
      codes,
      seed: this.seed,
      sampling,
      bundle: this.engine.manifest.name,
      device: this.engine.device.label,
      timingsMs: this.timings,
    };
  }
}
