/** The log-mel spectrogram, the one of echoes_rt/spec/mel.py. */

import { Fft } from "./fft";
import { clamp } from "./numbers";
import { clipSamples, type MelSpec } from "./spec";

const LOG_FLOOR = 1e-5;
const DB_OFFSET = 80;
const DB_RANGE = 100;

// Slaney's mel scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998).
const HZ_PER_MEL = 200 / 3;
const BREAK_HZ = 1000;
const BREAK_MEL = 15;
const LOG_STEP = Math.log(6.4) / 27;

export function hzToMel(hz: number): number {
  return hz >= BREAK_HZ ? BREAK_MEL + Math.log(hz / BREAK_HZ) / LOG_STEP : hz / HZ_PER_MEL;
}

export function melToHz(mel: number): number {
  return mel >= BREAK_MEL ? BREAK_HZ * Math.exp(LOG_STEP * (mel - BREAK_MEL)) : mel * HZ_PER_MEL;
}

/** Triangular filters of unit area, each with n_fft / 2 + 1 weights. */
export function melFilterbank(spec: MelSpec): Float32Array[] {
  const nBins = Math.floor(spec.n_fft / 2) + 1;
  const hz = evenlySpaced(0, spec.sample_rate / 2, nBins);
  const edges = evenlySpaced(hzToMel(spec.f_min), hzToMel(spec.f_max), spec.n_mels + 2).map(
    melToHz,
  );
  return Array.from({ length: spec.n_mels }, (_, m) => {
    const [low, centre, high] = [edges[m]!, edges[m + 1]!, edges[m + 2]!];
    return Float32Array.from(hz, (frequency) => {
      const rising = (frequency - low) / (centre - low);
      const falling = (high - frequency) / (high - centre);
      return Math.max(0, Math.min(rising, falling)) * (2 / (high - low));
    });
  });
}

/** Log-mel (n_mels, n_frames) of the first clip of a sound, which silence follows if it is short. */
export function clipMel(samples: Float32Array, spec: MelSpec): Float32Array {
  const clip = new Float32Array(clipSamples(spec));
  clip.set(samples.subarray(0, clip.length));
  return logMel(clip, spec);
}

/** Log-mel (n_mels, T) of a sound; frame `t` is centred on sample `t * hop_length`. */
export function logMel(samples: Float32Array, spec: MelSpec): Float32Array {
  const nFrames = Math.ceil(samples.length / spec.hop_length);
  const filters = melFilterbank(spec).map(nonZero);
  const window = hannWindow(spec);
  const fft = new Fft(spec.n_fft);
  const frame = new Float32Array(spec.n_fft);
  const magnitudes = new Float32Array(Math.floor(spec.n_fft / 2) + 1);
  const mel = new Float32Array(spec.n_mels * nFrames);
  for (let t = 0; t < nFrames; t++) {
    const start = t * spec.hop_length - (spec.n_fft >> 1);
    for (let i = 0; i < frame.length; i++) {
      frame[i] = samples[mirrored(start + i, samples.length)]! * window[i]!;
    }
    fft.magnitudes(frame, magnitudes);
    filters.forEach(({ first, weights }, m) => {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i]! * magnitudes[first + i]!;
      mel[m * nFrames + t] = logScale(Math.fround(sum));
    });
  }
  return mel;
}

function evenlySpaced(start: number, stop: number, count: number): number[] {
  const step = (stop - start) / (count - 1);
  return Array.from({ length: count }, (_, i) => (i === count - 1 ? stop : i * step + start));
}

/** Periodic Hann window of win_length in the middle of n_fft. */
function hannWindow(spec: MelSpec): Float32Array {
  const window = new Float32Array(spec.n_fft);
  const start = (spec.n_fft - spec.win_length) >> 1;
  for (let i = 0; i < spec.win_length; i++) {
    window[start + i] = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / spec.win_length);
  }
  return window;
}

/** The part of a filter that is not zero. */
function nonZero(filter: Float32Array): { first: number; weights: Float32Array } {
  const first = Math.max(
    0,
    filter.findIndex((weight) => weight > 0),
  );
  const last = filter.findLastIndex((weight) => weight > 0);
  return { first, weights: filter.subarray(first, last + 1) };
}

/** An index that turns back at both ends. */
function mirrored(index: number, size: number): number {
  const period = Math.max(1, 2 * (size - 1));
  const turned = ((index % period) + period) % period;
  return turned < size ? turned : period - turned;
}

/** Mel magnitude to the model's [-1, 1]. */
function logScale(magnitude: number): number {
  const decibels = 20 * Math.log10(Math.max(magnitude, LOG_FLOOR));
  return 2 * clamp((decibels + DB_OFFSET) / DB_RANGE, 0, 1) - 1;
}
