/** Where pictures and sounds come from: samples, and files that are chosen, dropped or pasted. */

import { page } from "./elements";

/** Whatever JPEGs docs/demo holds; they are named by their files. */
const SAMPLES = import.meta.glob<string>("../../../../docs/demo/*.jpg", {
  eager: true,
  query: "?url",
  import: "default",
});

export interface Sample {
  readonly name: string;
  readonly url: string;
}

/** @param take - Is called with the sample that somebody chooses. */
export function showSamples(take: (sample: Sample) => void): void {
  const buttons = Object.entries(SAMPLES).map(([path, url]) => {
    const name = path.split("/").at(-1)!.replace(".jpg", "").replaceAll("-", " ");
    const [button, image] = [document.createElement("button"), new Image()];
    button.type = "button";
    image.src = url;
    image.alt = "";
    button.append(image, name);
    button.addEventListener("click", () => take({ name, url }));
    return button;
  });
  page.samples.replaceChildren(...buttons);
}

/** @param give - Is called with a file, or with undefined for what is none. */
export function listenForFiles(give: (file: File | undefined) => void): void {
  for (const [button, field] of [
    [page.choosePicture, page.pictureFile],
    [page.chooseSound, page.soundFile],
  ] as const) {
    button.addEventListener("click", () => field.click());
    field.addEventListener("change", () => {
      const [file] = field.files ?? [];
      field.value = ""; // so that the same file can be chosen again
      give(file);
    });
  }
  const frames = [page.pictureFrame, page.soundFrame];
  const highlight = (isOver: boolean) =>
    frames.forEach((frame) => frame.classList.toggle("over", isOver));
  window.addEventListener("dragover", (event) => {
    event.preventDefault();
    highlight(true);
  });
  window.addEventListener("dragleave", (event) => event.relatedTarget ?? highlight(false));
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    highlight(false);
    give(event.dataTransfer?.files[0]);
  });
  window.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) give(file);
  });
}
