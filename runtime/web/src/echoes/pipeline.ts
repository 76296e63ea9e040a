/** A loaded bundle and its verbs, the same as those of the Python runtime. */

import { Bundle, type OnBytes } from "./bundle";
import { Call, type Options } from "./call";
import { openDevice, type Device, type DeviceName, type DeviceWish, type WasmPaths } from "./device";
import { Engine } from "./engine";
import { InputError } from "./errors";
import { extend, inpaint, type Part } from "./fill_sound";
import { inpaintPicture, type Mask } from "./fill_picture";
import type { Pixels } from "./image";
import type { Manifest } from "./manifest";
import { roundHalfEven } from "./numbers";
import type { Pair, Picture, Sound } from "./results";
import { MAX_DURATION_S, stream } from "./stream";

export interface LoadOptions {
  readonly device?: DeviceWish;
  /** CPU threads; by default as many as there are cores, up to four. */
  readonly threads?: number;
  /** Where ONNX Runtime's files lie, if not where its package has them. */
  readonly wasmPaths?: Record<DeviceName, WasmPaths>;
  readonly onBytes?: OnBytes;
}

/** Times that `cogenerate` draws the picture and then the sound anew. */
const REDRAWS = 2n;

/**
 * Every verb takes a seed, the dials of sampling and `onStep`; every verb throws an InputError if
 * something given cannot be used, and a CancelledError if `onStep` said so. Sounds are mono samples
 * at the bundle's rate.
 */
export class Echoes {
  constructor(readonly engine: Engine) {}

  /** Loads a bundle from the address of its folder. */
  static async load(url: string, options: LoadOptions = {}): Promise<Echoes> {
    const device = await openDevice(options.device ?? "auto", options);
    const bundle = await Bundle.load(url, options.onBytes);
    return new Echoes(new Engine(bundle, device));
  }

  get manifest(): Manifest {
    return this.engine.manifest;
  }

  get device(): Device {
    return this.engine.device;
  }

  /** Makes the sound of a picture. */
  async imageToAudio(image: Pixels, options: Options = {}): Promise<Sound> {
    const call = new Call(this.engine, options);
    const tokens = call.question(await call.encodeImage(image), null);
    return call.hear((await call.decode(tokens)).audio, call.sampling(tokens));
  }

  /** Makes the picture of the first clip of a sound. */
  async audioToImage(samples: Float32Array, options: Options = {}): Promise<Picture> {
    const call = new Call(this.engine, options);
    const tokens = call.question(null, await call.encodeAudio(samples));
    return call.see((await call.decode(tokens)).image, call.sampling(tokens));
  }

  /** Makes a picture and a sound that belong together, from nothing. */
  async cogenerate(options: Options = {}): Promise<Pair> {
    const call = new Call(this.engine, options);
    const nothing = call.question(null, null);
    let { image, audio } = await call.decode(nothing);
    // In one pass they agree less: each is drawn anew in turns, guided by the other.
    for (let window = 1n; window < 1n + 2n * REDRAWS; window += 2n) {
      ({ image, audio } = await call.decode(call.question(null, audio), window));
      ({ image, audio } = await call.decode(call.question(image, null), window + 1n));
    }
    const sampling = call.sampling(nothing);
    return { sound: await call.hear(audio, sampling), picture: await call.see(image, sampling) };
  }

  /** A sound like the given one, of whose codes a share `keep` stays. */
  async varyAudio(samples: Float32Array, keep = 0.5, options: Options = {}): Promise<Sound> {
    const call = new Call(this.engine, options);
    const tokens = call.question(null, call.thinned(await call.encodeAudio(samples), keep));
    return call.hear((await call.decode(tokens)).audio, call.sampling(tokens));
  }

  /** A picture like the given one, of whose codes a share `keep` stays. */
  async varyImage(image: Pixels, keep = 0.5, options: Options = {}): Promise<Picture> {
    const call = new Call(this.engine, options);
    const tokens = call.question(call.thinned(await call.encodeImage(image), keep), null);
    return call.see((await call.decode(tokens)).image, call.sampling(tokens));
  }

  /** Makes a part of a sound anew; the rest stays, sample for sample. */
  async inpaintAudio(
    samples: Float32Array,
    part: Part,
    options: Options & { image?: Pixels } = {},
  ): Promise<Sound> {
    const call = new Call(this.engine, options);
    const image = options.image ? await call.encodeImage(options.image) : null;
    return inpaint(call, samples, part, image);
  }

  /** A sound and `duration` seconds more of it. */
  async continueAudio(
    samples: Float32Array,
    duration = 5,
    options: Options & { image?: Pixels } = {},
  ): Promise<Sound> {
    const call = new Call(this.engine, options);
    const image = options.image ? await call.encodeImage(options.image) : null;
    return extend(call, samples, duration, image);
  }

  /**
   * The sound of a picture in parts, in constant memory; the codes of a part are those of the
   * newest window.
   *
   * @param image - A picture, or what gives the one to be heard from a second of the sound on.
   * @param options - `duration`: seconds in all; without it the sound never ends.
   */
  async *stream(
    image: Pixels | ((second: number) => Pixels | Promise<Pixels>),
    { duration, ...options }: Options & { duration?: number } = {},
  ): AsyncGenerator<Sound, void, undefined> {
    if (duration !== undefined && !(duration > 0 && duration <= MAX_DURATION_S)) {
      throw new InputError(
        `duration must be in (0, ${MAX_DURATION_S}] seconds, got ${duration}`,
      );
    }
    const call = new Call(this.engine, options);
    const nSamples =
      duration === undefined
        ? Infinity
        : Math.max(1, roundHalfEven(duration * this.manifest.mel.sample_rate));
    if (typeof image === "function") {
      yield* stream(call, async (second) => call.encodeImage(await image(second)), nSamples);
    } else {
      const codes = await call.encodeImage(image);
      yield* stream(call, async () => codes, nSamples);
    }
  }

  /** Makes a part of a picture anew; it comes back at the model's size. */
  async inpaintImage(
    image: Pixels,
    mask: Mask,
    options: Options & { audio?: Float32Array } = {},
  ): Promise<Picture> {
    const call = new Call(this.engine, options);
    const audio = options.audio ? await call.encodeAudio(options.audio) : null;
    return inpaintPicture(call, image, mask, audio);
  }
}
