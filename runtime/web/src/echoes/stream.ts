/** Sound of any length: windows slide over the token columns, each knows the last one's end. */

import type { Call } from "./call";
import { BundleError, InputError } from "./errors";
import { maskToken, positionsOf, type Manifest } from "./manifest";
import { columnsOf, roundHalfEven, sideBySide } from "./numbers";
import type { Sound } from "./results";

export const MAX_DURATION_S = 24 * 3600;

/** (N_i,) codes of what is to be heard from that second on. */
export type ImageAt = (second: number) => Promise<Int32Array>;

/** What was heard before: the last columns' (rows, C) codes and their (n_mels, T) log-mel. */
export interface Past {
  readonly codes: Int32Array;
  readonly mel: Float32Array;
}

/** One decoding: the frames of its log-mel that are final, and the codes of all of it. */
interface Window {
  readonly mel: Float32Array;
  readonly codes: Int32Array;
}

/** Mel frames on either side that a vocoder may look at. */
const CONTEXT_FRAMES = 32;

/**
 * Over these the samples of neighbouring chunks are blended: the phases of a vocoder's tones run on
 * within a chunk and start anew with each.
 */
const SEAM_FRAMES = 8;

const KNEE = 0.8;

/** How many columns a window knows from the one before: a third. */
export function overlapColumns(nColumns: number): number {
  return Math.max(1, Math.floor(nColumns / 3));
}

/**
 * By how many columns windows follow one another. A ninth at the end of each but the last is never
 * heard: clips that a model learns from tend to fade out there.
 */
export function freshColumns(nColumns: number): number {
  return Math.max(1, nColumns - overlapColumns(nColumns) - Math.floor(nColumns / 9));
}

/**
 * Parts of a sound, together of `nSamples`, which may be Infinity; memory does not grow with it.
 *
 * The log-mels of neighbouring windows are blended where they overlap, and the vocoder always sees
 * the frames round a part: there is no seam in the waveform.
 *
 * @param imageAt - The picture by second of the stream; null: there is none.
 * @param past - What the stream continues; it is not part of what is given out.
 */
export async function* stream(
  call: Call,
  imageAt: ImageAt | null,
  nSamples: number,
  past?: Past,
): AsyncGenerator<Sound, void, undefined> {
  const { mel: spec } = checkContinuable(call.model.manifest);
  let left = nSamples;
  for await (const part of vocoded(call, blended(call, imageAt, nSamples, past), past)) {
    const samples = part.samples.subarray(0, left).map(limited);
    left -= samples.length;
    if (samples.length === 0) continue;
    const mel = columnsOf(part.mel, spec.n_mels, 0, Math.ceil(samples.length / spec.hop_length));
    const sound = call.sound(samples, mel, part.codes, call.sampling("audio"));
    yield { ...sound, timingsMs: { ...sound.timingsMs } }; // until now
  }
}

/** The samples in (0, mostS] seconds, at least one. */
export function samplesIn(duration: number, mostS: number, sampleRate: number): number {
  if (!(duration > 0 && duration <= mostS)) {
    throw new InputError(`duration must be in (0, ${mostS}] seconds, got ${duration}`);
  }
  return Math.max(1, roundHalfEven(duration * sampleRate));
}

/** Refuses bundles of which a window cannot know a part and go on after it. */
export function checkContinuable(manifest: Manifest): Manifest {
  if (manifest.tokens.audio.width < 2) {
    throw new BundleError(
      `bundle ${manifest.name} has one token column a clip; long sound needs two`,
    );
  }
  return manifest;
}

async function* blended(
  call: Call,
  imageAt: ImageAt | null,
  nSamples: number,
  past: Past | undefined,
): AsyncGenerator<Window, void, undefined> {
  const { mel: spec, tokens: grids } = call.model.manifest;
  const grid = grids.audio;
  const { height, width } = grid;
  const perColumn = Math.floor(spec.n_frames / width);
  const [nFresh, nOverlap] = [freshColumns(width), overlapColumns(width)];
  let known = past?.codes ?? new Int32Array(0);
  let tail = past?.mel ?? new Float32Array(0);
  let given = -tail.length / spec.n_mels; // frames of the stream that were given out
  for (let window = 0n; ; window++) {
    const second = (Math.max(0, given) * spec.hop_length) / spec.sample_rate;
    const image = imageAt && (await imageAt(second));
    const unknown = new Int32Array(positionsOf(grid) - known.length).fill(maskToken(grid));
    const codes = await call.decode("audio", sideBySide([known, unknown], height), image, window);
    const mel = await call.stage("decode audio", () =>
      call.model.decodeMel(codes, call.seed, window),
    );
    goOver(tail, mel, spec.n_mels);
    const isLast = (given + spec.n_frames) * spec.hop_length >= nSamples;
    const end = isLast ? spec.n_frames : nFresh * perColumn;
    const fresh = columnsOf(mel, spec.n_mels, Math.max(0, -given), end);
    yield { mel: fresh, codes };
    if (isLast) return;
    given += end;
    known = columnsOf(codes, height, nFresh, nFresh + nOverlap);
    tail = columnsOf(mel, spec.n_mels, end, end + nOverlap * perColumn);
  }
}

/** Goes over from `tail` to the first frames of `next`, both of as many rows. */
function goOver(tail: Float32Array, next: Float32Array, rows: number): void {
  const nFrames = next.length / rows;
  const [nTail, nShared] = [tail.length / rows, Math.min(tail.length / rows, nFrames)];
  for (let row = 0; row < rows; row++) {
    for (let t = 0; t < nShared; t++) {
      const rising = (t + 1) / (nShared + 1);
      const before = tail[row * nTail + t]!;
      next[row * nFrames + t] = before * (1 - rising) + next[row * nFrames + t]! * rising;
    }
  }
}

/** The samples of each log-mel as soon as the frames after it are known. */
async function* vocoded(
  call: Call,
  windows: AsyncGenerator<Window, void, undefined>,
  past: Past | undefined,
): AsyncGenerator<Window & { readonly samples: Float32Array }, void, undefined> {
  const { n_mels: rows, hop_length: hop } = call.model.manifest.mel;
  const heard = past?.mel ?? new Float32Array(0);
  let nBefore = Math.min(heard.length / rows, CONTEXT_FRAMES); // there for context alone
  let buffer = columnsOf(heard, rows, heard.length / rows - nBefore, heard.length / rows);
  let last: Window | undefined;
  let tail = new Float32Array(0); // what the chunk before has of the next one's samples
  const upTo = async (end: number, window: Window) => {
    const made = await call.stage("decode audio", () => call.model.vocode(buffer));
    goOver(tail, made.subarray(nBefore * hop), 1);
    tail = made.slice(end * hop, (end + SEAM_FRAMES) * hop);
    const mel = columnsOf(buffer, rows, nBefore, end);
    return { ...window, mel, samples: made.subarray(nBefore * hop, end * hop) };
  };
  for await (const window of windows) {
    last = window;
    buffer = sideBySide([buffer, window.mel], rows);
    const end = buffer.length / rows - CONTEXT_FRAMES;
    if (end <= nBefore) continue;
    yield await upTo(end, window);
    const start = Math.max(0, end - CONTEXT_FRAMES);
    buffer = columnsOf(buffer, rows, start, buffer.length / rows);
    nBefore = end - start;
  }
  if (last) yield await upTo(buffer.length / rows, last);
}

/** Bends what is above the knee below 1: a stream cannot be scaled by a peak yet to come. */
function limited(sample: number): number {
  const size = Math.abs(sample);
  if (size <= KNEE) return sample;
  return Math.sign(sample) * (KNEE + (1 - KNEE) * Math.tanh((size - KNEE) / (1 - KNEE)));
}
