/** The tasks that a page can ask its worker for. */

import type { Options } from "./call";
import type { Echoes } from "./echoes";
import type { Mask } from "./fill_picture";
import type { Part } from "./fill_sound";
import type { Pixels } from "./image";

export type Runner<Asks, Gives> = (
  echoes: Echoes,
  asks: Asks,
  options: Options,
) => Promise<Gives>;

const task = <Asks, Gives>(run: Runner<Asks, Gives>): Runner<Asks, Gives> => run;

interface OfSound {
  readonly samples: Float32Array;
}

interface OfPicture {
  readonly image: Pixels;
}

export const RUNNERS = {
  imageToAudio: task((echoes, { image }: OfPicture, options) =>
    echoes.imageToAudio(image, options),
  ),
  audioToImage: task((echoes, { samples }: OfSound, options) =>
    echoes.audioToImage(samples, options),
  ),
  cogenerate: task((echoes, _: object, options) => echoes.cogenerate(options)),
  varyAudio: task((echoes, { samples, keep }: OfSound & { keep: number }, options) =>
    echoes.varyAudio(samples, keep, options),
  ),
  varyImage: task((echoes, { image, keep }: OfPicture & { keep: number }, options) =>
    echoes.varyImage(image, keep, options),
  ),
  continueAudio: task(
    (
      echoes,
      { samples, duration, image }: OfSound & { duration?: number; image?: Pixels },
      options,
    ) => echoes.continueAudio(samples, duration, { ...options, ...(image && { image }) }),
  ),
  inpaintAudio: task(
    (echoes, { samples, part, image }: OfSound & { part: Part; image?: Pixels }, options) =>
      echoes.inpaintAudio(samples, part, { ...options, ...(image && { image }) }),
  ),
  inpaintImage: task(
    (echoes, { image, mask, audio }: OfPicture & { mask: Mask; audio?: Float32Array }, options) =>
      echoes.inpaintImage(image, mask, { ...options, ...(audio && { audio }) }),
  ),
  /** The log-mel (n_mels, n_frames) of a sound's first clip, to be seen. */
  clipMel: task((echoes, { samples }: OfSound) => echoes.model.clipMel(samples)),
};

export type Task = keyof typeof RUNNERS;

/** What each task asks for besides options, and what it gives. */
export type Tasks = {
  [T in Task]: {
    asks: Parameters<(typeof RUNNERS)[T]>[1] & object;
    gives: Awaited<ReturnType<(typeof RUNNERS)[T]>>;
  };
};
