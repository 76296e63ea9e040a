/** From pixels to what the image codec reads, pixel for pixel as the Python runtime has it. */

import { InputError } from "./errors";
import type { ImageSpec } from "./manifest";
import { clamp, roundHalfEven } from "./numbers";

export interface Size {
  readonly height: number;
  readonly width: number;
}

/** RGB bytes, row by row. */
export interface Pixels extends Size {
  readonly rgb: Uint8Array;
}

/** A part of a picture. */
export interface Box extends Size {
  readonly top: number;
  readonly left: number;
}

const CHANNELS = 3;

export function checkPixels(image: Pixels): Pixels {
  const { height, width, rgb } = image;
  if (height < 1 || width < 1 || rgb.length !== CHANNELS * height * width) {
    throw new InputError(
      `a picture of ${width} x ${height} needs ${CHANNELS * height * width} RGB bytes, got ` +
        `${rgb.length}`,
    );
  }
  return image;
}

/** The largest crop with the spec's aspect ratio, as near to a centre (row, column) as it can. */
export function cropBox(
  image: Size,
  spec: Size,
  centre?: readonly [number, number],
): Box {
  const fit = (side: number, wanted: number, by: number) => roundHalfEven((side * wanted) / by);
  const height = Math.max(1, Math.min(image.height, fit(image.width, spec.height, spec.width)));
  const width = Math.max(1, Math.min(image.width, fit(image.height, spec.width, spec.height)));
  const [top, left] = centre
    ? [centre[0] - (height >> 1), centre[1] - (width >> 1)]
    : [(image.height - height) >> 1, (image.width - width) >> 1];
  return {
    top: clamp(top, 0, image.height - height),
    left: clamp(left, 0, image.width - width),
    height,
    width,
  };
}

export function crop(image: Pixels, box: Box): Pixels {
  const rowBytes = CHANNELS * box.width;
  const rgb = new Uint8Array(box.height * rowBytes);
  for (let y = 0; y < box.height; y++) {
    const start = CHANNELS * ((box.top + y) * image.width + box.left);
    rgb.set(image.rgb.subarray(start, start + rowBytes), y * rowBytes);
  }
  return { height: box.height, width: box.width, rgb };
}

/** The largest centred crop with the spec's aspect ratio, resized as OpenCV does it. */
export function resize(image: Pixels, spec: ImageSpec): Pixels {
  const part = crop(image, cropBox(image, spec));
  const { height, width } = spec;
  if (part.height === height && part.width === width) return part;
  if (part.height <= height) return enlarge(part, height, width);
  if (part.height % height === 0 && part.width % width === 0) {
    return shrinkByWholeNumber(part, height, width);
  }
  return shrinkByShares(part, height, width);
}

/** To (1, 3, H, W) float32, `(x / 255 - mean) / std`. */
export function normalise(pixels: Pixels, spec: ImageSpec): Float32Array {
  const plane = pixels.height * pixels.width;
  const normal = new Float32Array(CHANNELS * plane);
  const f = Math.fround;
  for (let c = 0; c < CHANNELS; c++) {
    const [mean, std] = [f(spec.mean[c]!), f(spec.std[c]!)];
    for (let i = 0; i < plane; i++) {
      normal[c * plane + i] = f(f(pixels.rgb[CHANNELS * i + c]! / 255) - mean) / std;
    }
  }
  return normal;
}

/** The inverse of `normalise`. */
export function toPixels(normal: Float32Array, spec: ImageSpec): Pixels {
  const { height, width } = spec;
  const plane = height * width;
  const rgb = new Uint8Array(CHANNELS * plane);
  const f = Math.fround;
  for (let c = 0; c < CHANNELS; c++) {
    const [mean, std] = [f(spec.mean[c]!), f(spec.std[c]!)];
    for (let i = 0; i < plane; i++) {
      const unit = f(f(normal[c * plane + i]! * std) + mean);
      rgb[CHANNELS * i + c] = roundHalfEven(f(clamp(unit, 0, 1) * 255));
    }
  }
  return { height, width, rgb };
}

/** How much of a source pixel goes into a target pixel. */
interface Share {
  readonly target: number;
  readonly source: number;
  readonly weight: number;
}

/** The shares of one axis; a sliver below a thousandth of a pixel is left out. */
function areaShares(sourceSize: number, targetSize: number): Share[] {
  const sliver = 1e-3;
  const scale = 1 / (targetSize / sourceSize);
  const shares: Share[] = [];
  for (let target = 0; target < targetSize; target++) {
    const start = target * scale;
    const stop = start + scale;
    const width = Math.min(scale, sourceSize - start);
    const last = Math.min(Math.floor(stop), sourceSize - 1);
    const first = Math.min(Math.ceil(start), last);
    const add = (source: number, part: number) =>
      shares.push({ target, source, weight: Math.fround(part / width) });
    if (first - start > sliver) add(first - 1, first - start);
    for (let source = first; source < last; source++) add(source, 1);
    if (stop - last > sliver) add(last, Math.min(stop - last, 1, width));
  }
  return shares;
}

/** Averages in float32, first along the rows, then down the columns. */
function shrinkByShares(image: Pixels, height: number, width: number): Pixels {
  const columns = areaShares(image.width, width);
  const rows = areaShares(image.height, height);
  const f = Math.fround;
  const rowSize = CHANNELS * width;
  const averaged = new Float32Array(rowSize);
  const sum = new Float32Array(rowSize);
  const rgb = new Uint8Array(height * rowSize);
  rows.forEach((row, i) => {
    const start = CHANNELS * row.source * image.width;
    averaged.fill(0);
    for (const column of columns) {
      for (let c = 0; c < CHANNELS; c++) {
        const at = CHANNELS * column.target + c;
        const value = image.rgb[start + CHANNELS * column.source + c]!;
        averaged[at] = averaged[at]! + f(value * column.weight);
      }
    }
    if (rows[i - 1]?.target !== row.target) sum.fill(0);
    for (let x = 0; x < rowSize; x++) sum[x] = sum[x]! + f(row.weight * averaged[x]!);
    if (rows[i + 1]?.target !== row.target) {
      const target = row.target * rowSize;
      for (let x = 0; x < rowSize; x++) rgb[target + x] = clamp(roundHalfEven(sum[x]!), 0, 255);
    }
  });
  return { height, width, rgb };
}

/** Whole numbers of pixels are added up exactly. */
function shrinkByWholeNumber(image: Pixels, height: number, width: number): Pixels {
  const [byY, byX] = [image.height / height, image.width / width];
  const share = Math.fround(1 / (byY * byX));
  const rgb = new Uint8Array(CHANNELS * height * width);
  for (let target = 0; target < rgb.length; target++) {
    const c = target % CHANNELS;
    const x = Math.floor(target / CHANNELS) % width;
    const y = Math.floor(target / CHANNELS / width);
    let sum = 0;
    for (let dy = 0; dy < byY; dy++) {
      const row = (y * byY + dy) * image.width + x * byX;
      for (let dx = 0; dx < byX; dx++) sum += image.rgb[CHANNELS * (row + dx) + c]!;
    }
    // Halves go up in quarters, to even otherwise: as OpenCV has it.
    rgb[target] =
      byX === 2 && byY === 2 ? (sum + 2) >> 2 : roundHalfEven(Math.fround(sum * share));
  }
  return { height, width, rgb };
}

/** Two neighbours along one axis and their weights, which add up to 2048. */
interface Blend {
  readonly first: number;
  readonly second: number;
  readonly firstWeight: number;
  readonly secondWeight: number;
}

function blends(sourceSize: number, targetSize: number, isFlatAtEdges: boolean): Blend[] {
  const one = 2048;
  const scale = 1 / (targetSize / sourceSize);
  const inside = (i: number) => clamp(i, 0, sourceSize - 1);
  return Array.from({ length: targetSize }, (_, target) => {
    const centre = Math.fround((target + 0.5) * scale - 0.5);
    const first = Math.floor(centre);
    const isOutside = first < 0 || first >= sourceSize - 1;
    const share = isFlatAtEdges && isOutside ? 0 : Math.fround(centre - first);
    return {
      first: inside(first),
      second: inside(first + 1),
      firstWeight: roundHalfEven(Math.fround(Math.fround(1 - share) * one)),
      secondWeight: roundHalfEven(Math.fround(share * one)),
    };
  });
}

/** Bilinear, in whole numbers. */
function enlarge(image: Pixels, height: number, width: number): Pixels {
  const columns = blends(image.width, width, true);
  const rows = blends(image.height, height, false);
  const rgb = new Uint8Array(CHANNELS * height * width);
  let target = 0;
  for (const row of rows) {
    const [upper, lower] = [row.first, row.second].map((y) => CHANNELS * y * image.width);
    for (const column of columns) {
      for (let c = 0; c < CHANNELS; c++) {
        const blended = (start: number) =>
          image.rgb[start + CHANNELS * column.first + c]! * column.firstWeight +
          image.rgb[start + CHANNELS * column.second + c]! * column.secondWeight;
        const up = (row.firstWeight * (blended(upper!) >> 4)) >> 16;
        const down = (row.secondWeight * (blended(lower!) >> 4)) >> 16;
        rgb[target++] = (up + down + 2) >> 2;
      }
    }
  }
  return { height, width, rgb };
}
