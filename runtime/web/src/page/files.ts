/** Files that are chosen, dropped anywhere or pasted. */

import { page } from "./elements";

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
