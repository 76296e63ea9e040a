/** Making a part of a sound anew; what echoes_rt/tasks/fill_sound.py does at the model's rate. */

import type { Call } from "./call";
import { checkSamples } from "./engine";
import { InputError } from "./errors";
import { clipMel } from "./mel";
import { clamp, roundHalfEven } from "./numbers";
import type { Sound } from "./results";
import { clipSamples } from "./spec";

/** A part of a sound in seconds. */
export interface Part {
  readonly start: number;
  readonly stop: number;
}

/** Length of the cross-fade at a seam: a click is shorter. */
const FADE_S = 0.02;

/** Makes a part of mono samples anew and leaves the rest as it is, sample for sample. */
export async function inpaint(
  call: Call,
  original: Float32Array,
  part: Part,
  image: Int32Array | null,
): Promise<Sound> {
  const { mel: spec, tokens: layout } = call.engine.manifest;
  const grid = layout.audio;
  checkPart(checkSamples(original), part, spec.sample_rate);
  const nSamples = clipSamples(spec);
  const perColumn = Math.floor(nSamples / grid.width);
  const first = roundHalfEven(part.start * spec.sample_rate);
  const last = roundHalfEven(part.stop * spec.sample_rate);
  const begin = windowStart(original.length, first, last, nSamples);
  const columns = [
    Math.floor((first - begin) / perColumn),
    Math.ceil((last - begin) / perColumn),
  ] as const;
  const most = Math.max(1, grid.width - 2); // something must be left to go by
  if (columns[1] - columns[0] > most) {
    const mostS = ((most - 1) * perColumn) / spec.sample_rate;
    throw new InputError(
      `at most ${mostS.toFixed(2)} s can be filled in at once, got ${part.stop - part.start} s; ` +
        "give a shorter part",
    );
  }
  const mel = clipMel(original.subarray(begin, begin + nSamples), spec);
  const known = await call.stage("encode audio", () => call.engine.encodeMel(mel));
  const asked = known.map((code, i) => {
    const column = i % grid.width;
    return column >= columns[0] && column < columns[1] ? layout.maskTokenId : code;
  });
  const tokens = call.question(image, asked);
  const codes = (await call.decode(tokens)).audio;
  const made = await call.stage("decode audio", async () => {
    // Outside of the part the vocoder sees what was really there.
    const perCode = Math.floor(spec.n_frames / grid.width);
    const [from, to] = [columns[0] * perCode, columns[1] * perCode];
    const fresh = await call.engine.decodeMel(codes);
    for (let row = 0; row < mel.length; row += spec.n_frames) {
      mel.set(fresh.subarray(row + from, row + to), row + from);
    }
    return call.engine.vocode(mel);
  });
  const samples = patched(original, made, begin, [first, last], spec.sample_rate);
  return call.sound(samples, mel, codes, call.sampling(tokens));
}

function checkPart(samples: Float32Array, { start, stop }: Part, sampleRate: number): void {
  const duration = samples.length / sampleRate;
  if (!(start >= 0 && start < stop && stop <= duration + 1e-6)) {
    throw new InputError(
      `the part to fill in must lie within the ${duration.toFixed(2)} s of the sound, got ` +
        `${start} s to ${stop} s`,
    );
  }
}

/** Where a window lies best round a part: in the middle, but within the recording. */
function windowStart(nSamples: number, first: number, last: number, nWindow: number): number {
  const middle = Math.floor((first + last - nWindow) / 2);
  return Math.max(0, Math.min(middle, nSamples - nWindow));
}

/** The original with a part from `made`, which begins at a sample; faded at both seams. */
function patched(
  original: Float32Array,
  made: Float32Array,
  madeFrom: number,
  [first, stop]: readonly [number, number],
  sampleRate: number,
): Float32Array {
  const last = Math.min(stop, original.length);
  const fade = roundHalfEven(FADE_S * sampleRate);
  return original.map((sample, i) => {
    const outside = i < first ? first - i : i >= last ? i - last + 1 : 0;
    const share = Math.fround(Math.max(0, fade + 1 - outside) / (fade + 1));
    if (outside > fade) return sample;
    const fresh = clamp(made[clamp(i - madeFrom, 0, made.length - 1)]!, -1, 1);
    return sample * (1 - share) + fresh * share;
  });
}
