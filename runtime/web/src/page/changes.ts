/** Changes of what the cards show: a part replaced, more of it, something like it. */

import type { Mask, Pixels } from "../echoes";
import { page } from "./elements";
import type { Scene, Wish } from "./scene";

/** Of a frame's width and height. */
type Shares = readonly [x: number, y: number];

const LEAST_DRAG = 0.02;
const SUGGESTED_S = 1;

/**
 * @param scene - What the cards show now.
 * @param ask - Is called with the change that somebody wants.
 */
export function listenForChanges(scene: () => Scene, ask: (wish: Wish) => void): void {
  const on = (form: HTMLFormElement, wish: () => Wish) =>
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      ask(wish());
    });
  const pixels = () => scene().picture!.pixels;
  const samples = () => scene().sound!.samples;
  const image = () => (belongTogether(scene()) ? { image: pixels() } : {});
  const audio = () => (belongTogether(scene()) ? { audio: samples() } : {});
  on(page.replacePicture, () => {
    const mask = maskOf(pixels());
    return { task: "inpaintImage", asks: { image: pixels(), mask, ...audio() } };
  });
  on(page.varyPicture, () => {
    const keep = page.keepPicture.valueAsNumber / 100;
    return { task: "varyImage", asks: { image: pixels(), keep } };
  });
  on(page.replaceSound, () => {
    const part = { start: page.partStart.valueAsNumber, stop: page.partStop.valueAsNumber };
    return { task: "inpaintAudio", asks: { samples: samples(), part, ...image() } };
  });
  on(page.continueSound, () => {
    const duration = page.more.valueAsNumber;
    return { task: "continueAudio", asks: { samples: samples(), duration, ...image() } };
  });
  on(page.varySound, () => {
    const keep = page.keepSound.valueAsNumber / 100;
    return { task: "varyAudio", asks: { samples: samples(), keep } };
  });
  listenForParts();
}

/** Whether a change of one medium is to fit the other. */
function belongTogether({ picture, sound }: Scene): boolean {
  return Boolean(picture && sound && picture.role !== "older" && sound.role !== "older");
}

/** Suggests a part in the middle of a new sound. */
export function suggestPart(duration: number): void {
  const longest = Math.floor(duration * 100) / 100;
  const start = Number((0.4 * longest).toFixed(1));
  page.partStart.max = page.partStop.max = String(longest);
  page.partStart.value = String(start);
  page.partStop.value = String(Math.min(longest, start + SUGGESTED_S));
  showSoundPart();
}

function listenForParts(): void {
  const { partLeft, partTop, partWidth, partHeight, partStart, partStop } = page;
  const percent = (share: number) => String(Math.round(100 * share));
  for (const field of [partLeft, partTop, partWidth, partHeight]) {
    field.addEventListener("input", showPicturePart);
  }
  for (const field of [partStart, partStop]) field.addEventListener("input", showSoundPart);
  onDrag(page.picture, page.changePicture, ([left, top], [right, bottom]) => {
    [partLeft.value, partTop.value] = [percent(left), percent(top)];
    [partWidth.value, partHeight.value] = [percent(right - left), percent(bottom - top)];
    showPicturePart();
  });
  onDrag(page.spectrogram, page.changeSound, ([left], [right]) => {
    const duration = Number(partStop.max);
    partStart.value = (left * duration).toFixed(2);
    partStop.value = (right * duration).toFixed(2);
    showSoundPart();
  });
  showPicturePart();
}

/** Tells of each drag over a canvas, as long as its tools are open. */
function onDrag(
  canvas: HTMLCanvasElement,
  tools: HTMLDetailsElement,
  chosen: (first: Shares, last: Shares) => void,
): void {
  let from: Shares | undefined;
  canvas.addEventListener("pointerdown", (event) => {
    from = tools.open && event.isPrimary ? sharesOf(canvas, event) : undefined;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = sharesOf(canvas, event);
    if (Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])) < LEAST_DRAG) return;
    canvas.setPointerCapture(event.pointerId);
    chosen(
      [Math.min(from[0], to[0]), Math.min(from[1], to[1])],
      [Math.max(from[0], to[0]), Math.max(from[1], to[1])],
    );
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => (from = undefined));
  }
}

function sharesOf(canvas: HTMLCanvasElement, { clientX, clientY }: PointerEvent): Shares {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const share = (at: number) => Math.min(Math.max(at, 0), 1);
  return [share((clientX - left) / width), share((clientY - top) / height)];
}

function showPicturePart(): void {
  const { left, top, right, bottom } = partOfPicture();
  place(page.picturePart, { left, top, width: right - left, height: bottom - top });
}

function showSoundPart(): void {
  const [start, stop] = [page.partStart, page.partStop].map(
    (field) => (field.valueAsNumber || 0) / Number(field.max),
  ) as [number, number];
  place(page.soundPart, { left: start, top: 0, width: Math.max(0, stop - start), height: 1 });
}

function place(part: HTMLElement, shares: Record<string, number>): void {
  for (const [side, share] of Object.entries(shares)) {
    part.style.setProperty(`--${side}`, String(share));
  }
}

/** In shares of the picture, within it. */
function partOfPicture() {
  const share = (field: HTMLInputElement) => (field.valueAsNumber || 0) / 100;
  const [left, top] = [share(page.partLeft), share(page.partTop)];
  const right = Math.min(1, left + share(page.partWidth));
  return { left, top, right, bottom: Math.min(1, top + share(page.partHeight)) };
}

function maskOf({ height, width }: Pixels): Mask {
  const { left, top, right, bottom } = partOfPicture();
  const hidden = new Uint8Array(height * width);
  for (let y = Math.floor(top * height); y < Math.ceil(bottom * height); y++) {
    hidden.fill(1, y * width + Math.floor(left * width), y * width + Math.ceil(right * width));
  }
  return { height, width, hidden };
}
