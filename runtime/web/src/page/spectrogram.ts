/** A log-mel as a picture. */

import type { MelSpec } from "../echoes";

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

/** Draws (n_mels, T) in [-1, 1], low frequencies below. */
export function drawSpectrogram(
  canvas: HTMLCanvasElement,
  mel: Float32Array,
  { n_mels }: MelSpec,
): void {
  const nFrames = mel.length / n_mels;
  canvas.width = nFrames;
  canvas.height = n_mels;
  const image = new ImageData(nFrames, n_mels);
  mel.forEach((value, i) => {
    const [row, frame] = [Math.floor(i / nFrames), i % nFrames];
    const at = 4 * ((n_mels - 1 - row) * nFrames + frame);
    image.data.set(colour((value + 1) / 2), at);
    image.data[at + 3] = 255;
  });
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}

function colour(share: number): number[] {
  const at = Math.min(Math.max(share, 0), 1) * (COLOURS.length - 1);
  const below = Math.min(Math.floor(at), COLOURS.length - 2);
  const [from, to] = [COLOURS[below]!, COLOURS[below + 1]!];
  return from.map((part, i) => part + (to[i]! - part) * (at - below));
}
