/** Making a part of a sound anew, and going on after its end, at the model's rate. */

import type { Call } from "./call";
import { InputError } from "./errors";
import { clipSamples, maskToken } from "./manifest";
import { clamp, columnsOf, roundHalfEven } from "./numbers";
import { checkSamples } from "./model";
import type { Sound } from "./results";
import { checkContinuable, overlapColumns, samplesIn, stream } from "./stream";

/** A part of a sound in seconds. */
export interface Part {
  readonly start: number;
  readonly stop: number;
}

/** Length of the cross-fade at a seam: a click is shorter. */
const FADE_S = 0.02;

const MAX_ADDED_S = 3600;

/** Makes a part of mono samples anew and leaves the rest as it is, sample for sample. */
export async function inpaint(
  call: Call,
  original: Float32Array,
  part: Part,
  image: Int32Array | null,
): Promise<Sound> {
  const { mel: spec, tokens: grids } = call.model.manifest;
  const grid = grids.audio;
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
        "give a shorter part, or use continue",
    );
  }
  const [mel, known] = await call.encodeClip(original.subarray(begin, begin + nSamples));
  const tokens = known.map((code, i) => {
    const column = i % grid.width;
    return column >= columns[0] && column < columns[1] ? maskToken(grid) : code;
  });
  const codes = await call.decode("audio", tokens, image);
  const made = await call.stage("decode audio", async () => {
    // Outside of the part the vocoder sees what was really there.
    const perCode = Math.floor(spec.n_frames / grid.width);
    const [from, to] = [columns[0] * perCode, columns[1] * perCode];
    const fresh = await call.model.decodeMel(codes, call.seed);
    for (let row = 0; row < mel.length; row += spec.n_frames) {
      mel.set(fresh.subarray(row + from, row + to), row + from);
    }
    return call.model.vocode(mel);
  });
  const samples = patched(original, made, begin, [first, last], spec.sample_rate);
  return call.sound(samples, await call.logMel(samples), codes, call.sampling("audio", tokens));
}

/**
 * Mono samples and `more` seconds that follow from them.
 *
 * The codes that come with it are those of the last window: its first columns are known, the others
 * are the end of what was added.
 */
export async function extend(
  call: Call,
  original: Float32Array,
  more: number,
  image: Int32Array | null,
): Promise<Sound> {
  const { mel: spec, tokens: grids } = checkContinuable(call.model.manifest);
  const { height, width } = grids.audio;
  const nSamples = samplesIn(more, MAX_ADDED_S, spec.sample_rate);
  const clip = new Float32Array(clipSamples(spec));
  const heard = checkSamples(original).subarray(-clip.length);
  clip.set(heard, clip.length - heard.length); // its end is what counts
  const [mel, codes] = await call.encodeClip(clip);
  const heardColumns = Math.floor(heard.length / Math.floor(clip.length / width));
  const nKnown = Math.min(overlapColumns(width), Math.max(1, heardColumns));
  const nFrames = Math.floor((nKnown * spec.n_frames) / width);
  const past = {
    codes: columnsOf(codes, height, width - nKnown, width),
    mel: columnsOf(mel, spec.n_mels, spec.n_frames - nFrames, spec.n_frames),
  };
  const samples = new Float32Array(original.length + nSamples);
  samples.set(original);
  let at = original.length;
  let last = codes;
  for await (const part of stream(call, image && (async () => image), nSamples, past)) {
    samples.set(part.samples, at);
    at += part.samples.length;
    last = part.codes;
  }
  join(samples, original.length, roundHalfEven(FADE_S * spec.sample_rate));
  return call.sound(samples, await call.logMel(samples), last, call.sampling("audio"));
}

/** Takes the jump at a seam back over so many samples after it. */
function join(samples: Float32Array, seam: number, most: number): void {
  const length = Math.min(most, samples.length - seam);
  const jump = samples[seam - 1]! - samples[seam]!;
  for (let i = 0; i < length; i++) {
    samples[seam + i] = samples[seam + i]! + (1 - i / length) * jump;
  }
  samples.forEach((sample, i) => (samples[i] = clamp(sample, -1, 1)));
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
