/** Making a part of a picture anew, at the size of the model. */

import type { Call } from "./call";
import { InputError } from "./errors";
import { checkPixels, crop, cropBox, type Pixels } from "./image";
import { maskToken } from "./manifest";
import type { Picture } from "./results";

/** What is to be made anew: one byte for each pixel, not 0 where it is. */
export interface Mask {
  readonly height: number;
  readonly width: number;
  readonly hidden: Uint8Array;
}

/**
 * Makes the codes anew that the mask touches, and keeps the others.
 *
 * The model sees the largest crop of its aspect ratio, centred on the mask; the picture that comes
 * back is that crop at the model's size.
 */
export async function inpaintPicture(
  call: Call,
  original: Pixels,
  mask: Mask,
  audio: Int32Array | null,
): Promise<Picture> {
  checkPixels(original);
  if (mask.height !== original.height || mask.width !== original.width) {
    throw new InputError(
      `the mask must be as large as the picture, ${original.width} x ${original.height}, got ` +
        `${mask.width} x ${mask.height}`,
    );
  }
  const { image: spec, tokens: grids } = call.model.manifest;
  const [rows, columns] = extent(mask);
  const middle = (first: number, last: number) => (first + last + 1) >> 1;
  const box = cropBox(original, spec, [middle(...rows), middle(...columns)]);
  const isInside =
    rows[0] >= box.top &&
    rows[1] < box.top + box.height &&
    columns[0] >= box.left &&
    columns[1] < box.left + box.width;
  if (!isInside) {
    throw new InputError(
      `the mask must fit into ${box.width} x ${box.height} pixels, the largest part of this ` +
        `picture that the model sees at once, got one of ${columns[1] - columns[0] + 1} x ` +
        `${rows[1] - rows[0] + 1}`,
    );
  }
  const tokens = await call.encodeImage(crop(original, box));
  const grid = grids.image;
  for (let y = rows[0]; y <= rows[1]; y++) {
    for (let x = columns[0]; x <= columns[1]; x++) {
      if (!mask.hidden[y * mask.width + x]) continue;
      const row = Math.floor(((y - box.top) * grid.height) / box.height);
      const column = Math.floor(((x - box.left) * grid.width) / box.width);
      tokens[row * grid.width + column] = maskToken(grid);
    }
  }
  return call.pictureOf(tokens, audio);
}

type Range = [first: number, last: number];

/** The first and last row, and column, of what a mask hides. */
function extent(mask: Mask): [rows: Range, columns: Range] {
  const rows: Range = [Infinity, -1];
  const columns: Range = [Infinity, -1];
  mask.hidden.forEach((isHidden, i) => {
    if (!isHidden) return;
    const [y, x] = [Math.floor(i / mask.width), i % mask.width];
    rows[0] = Math.min(rows[0], y);
    rows[1] = y;
    columns[0] = Math.min(columns[0], x);
    columns[1] = Math.max(columns[1], x);
  });
  if (rows[1] < 0) {
    throw new InputError("the mask is empty: nothing is to be filled in");
  }
  return [rows, columns];
}
