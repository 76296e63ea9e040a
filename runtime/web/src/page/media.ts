/** Files to pixels and samples, and back. */

import { InputError, messageOf, type Pixels } from "../echoes";
import { cropBox, type Size } from "../echoes/image";

const MAX_SIDE = 4096; // what every browser's canvas can hold
const MAX_SOUND_BYTES = 100 * 2 ** 20;

/** The part of a picture that the model sees, at its full size. */
export async function readPicture(file: Blob, name: string, model: Size): Promise<Pixels> {
  let bitmap: ImageBitmap;
  try {
    // As the Python runtime reads it: upright, without the colour profile.
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
    });
  } catch (error) {
    throw new InputError(`${name} is not a picture that this browser can read`, { cause: error });
  }
  const box = cropBox(bitmap, model);
  const shrink = Math.min(1, MAX_SIDE / Math.max(box.width, box.height));
  const [width, height] = [Math.round(box.width * shrink), Math.round(box.height * shrink)];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = "#fff"; // what a page shows behind a transparent picture
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, box.left, box.top, box.width, box.height, 0, 0, width, height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const rgb = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) rgb.set(data.subarray(4 * i, 4 * i + 3), 3 * i);
  return { height, width, rgb };
}

/** A sound, mixed to one channel, at the model's rate. */
export async function readSound(
  file: Blob,
  name: string,
  sampleRate: number,
): Promise<Float32Array> {
  if (file.size > MAX_SOUND_BYTES) {
    throw new InputError(`${name} is larger than the ${MAX_SOUND_BYTES >> 20} MB allowed`);
  }
  let buffer: AudioBuffer;
  try {
    // Decoding resamples to the rate of the context.
    const context = new OfflineAudioContext(1, 1, sampleRate);
    buffer = await context.decodeAudioData(await file.arrayBuffer());
  } catch (error) {
    throw new InputError(
      `${name} is not a sound that this browser can read: ${messageOf(error)}`,
      { cause: error },
    );
  }
  const mono = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let i = 0; i < mono.length; i++) mono[i] = mono[i]! + samples[i]!;
  }
  return mono.map((sample) => sample / buffer.numberOfChannels);
}

export function drawPixels(canvas: HTMLCanvasElement, { height, width, rgb }: Pixels): void {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    image.data.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}

export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // when it has surely begun
}
