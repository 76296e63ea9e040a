/** Pictures to begin with: whatever JPEGs docs/demo holds, named by their files. */

import { page } from "./elements";

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
    const name = path.split("/").at(-1)!.replace(".jpg", "").replaceAll("_", " ");
    const [button, image] = [document.createElement("button"), new Image()];
    button.type = "button";
    button.className = "thumb";
    image.src = url;
    image.alt = "";
    button.append(image, name);
    button.addEventListener("click", () => take({ name, url }));
    return button;
  });
  page.samples.replaceChildren(...buttons);
}
