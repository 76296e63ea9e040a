/** The tasks that a page can ask its worker for. */

import type { Options } from "./call";
import type { Echoes } from "./echoes";
import type { Mask } from "./fill_picture";
import type { Part } from "./fill_sound";
import type { Pixels } from "./image";
import type { Pair, Picture, Sound } from "./results";

interface OfSound {
  readonly samples: Float32Array;
}

interface OfPicture {
  readonly image: Pixels;
}

/** What each task asks for besides options, and what it gives. */
export interface Tasks {
  imageToAudio: { asks: OfPicture; gives: Sound };
  audioToImage: { asks: OfSound; gives: Picture };
  cogenerate: { asks: object; gives: Pair };
  varyAudio: { asks: OfSound & { keep: number }; gives: Sound };
  varyImage: { asks: OfPicture & { keep: number }; gives: Picture };
  continueAudio: { asks: OfSound & { duration?: number; image?: Pixels }; gives: Sound };
  inpaintAudio: { asks: OfSound & { part: Part; image?: Pixels }; gives: Sound };
  inpaintImage: { asks: OfPicture & { mask: Mask; audio?: Float32Array }; gives: Picture };
  /** The log-mel (n_mels, n_frames) of a sound's first clip, to be seen. */
  clipMel: { asks: OfSound; gives: Float32Array };
}

export type Task = keyof Tasks;

/** What the methods of `Echoes` take before their options, in this order. */
const FIRST: Record<Exclude<Task, "clipMel">, readonly string[]> = {
  imageToAudio: ["image"],
  audioToImage: ["samples"],
  cogenerate: [],
  varyAudio: ["samples", "keep"],
  varyImage: ["image", "keep"],
  continueAudio: ["samples", "duration"],
  inpaintAudio: ["samples", "part"],
  inpaintImage: ["image", "mask"],
};

type Method = (...given: unknown[]) => Promise<unknown>;

export function run(echoes: Echoes, task: Task, asks: object, options: Options): Promise<unknown> {
  const given: Record<string, unknown> = { ...asks };
  if (task === "clipMel") return echoes.model.clipMel(given["samples"] as Float32Array);
  const first = FIRST[task].map((name) => given[name]);
  return (echoes[task] as Method).call(echoes, ...first, { ...given, ...options });
}
