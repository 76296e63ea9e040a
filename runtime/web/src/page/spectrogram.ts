/** A log-mel as a picture, with its frequencies and seconds beside it. */

import type { MelSpec } from "../echoes";
import { page } from "./elements";
import { drawPixels } from "./media";

type Rgb = readonly [number, number, number];

/** From silence to full scale; lightness rises evenly, so that it reads without colour too. */
const COLOURS: readonly Rgb[] = [
  [10, 13, 26],
  [28, 34, 76],
  [46, 74, 122],
  [45, 126, 142],
  [94, 178, 137],
  [196, 216, 120],
  [253, 246, 190],
];

/** What every browser's canvas can hold, and more than a screen shows. */
const MAX_COLUMNS = 4096;

const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300];
const MOST_TICKS = 6;

/** Draws (n_mels, T) in [-1, 1], low frequencies below; of many frames, the loudest of a few. */
export function drawSpectrogram(
  canvas: HTMLCanvasElement,
  mel: Float32Array,
  { n_mels }: MelSpec,
): void {
  const nFrames = mel.length / n_mels;
  const width = Math.min(nFrames, MAX_COLUMNS);
  const rgb = new Uint8Array(3 * width * n_mels);
  const first = (column: number) => Math.floor((column * nFrames) / width);
  for (let row = 0; row < n_mels; row++) {
    const frames = mel.subarray(row * nFrames, (row + 1) * nFrames);
    for (let column = 0; column < width; column++) {
      const value = Math.max(...frames.subarray(first(column), first(column + 1)));
      rgb.set(colour((value + 1) / 2), 3 * ((n_mels - 1 - row) * width + column));
    }
  }
  drawPixels(canvas, { height: n_mels, width, rgb });
}

function colour(share: number): number[] {
  const at = Math.min(Math.max(share, 0), 1) * (COLOURS.length - 1);
  const below = Math.min(Math.floor(at), COLOURS.length - 2);
  const [from, to] = [COLOURS[below]!, COLOURS[below + 1]!];
  return from.map((part, i) => Math.round(part + (to[i]! - part) * (at - below)));
}

export function showAxes(duration: number, { f_min, f_max }: MelSpec): void {
  page.high.textContent = hertz(f_max);
  page.low.textContent = hertz(f_min);
  const step = STEPS_S.find((seconds) => duration / seconds < MOST_TICKS) ?? STEPS_S.at(-1)!;
  const ticks = Array.from({ length: Math.floor(duration / step) + 1 }, (_, i) => {
    const tick = document.createElement("span");
    const seconds = Number((i * step).toFixed(1));
    tick.textContent = i === 0 ? "0 s" : String(seconds);
    tick.style.setProperty("--at", String(seconds / duration));
    return tick;
  });
  page.seconds.replaceChildren(...ticks);
}

export function hertz(frequency: number): string {
  return frequency >= 1000 ? `${(frequency / 1000).toFixed(1)} kHz` : `${frequency} Hz`;
}
