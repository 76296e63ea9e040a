/** How a result was made, for those who want to make it again elsewhere. */

import { described } from "../echoes";
import { page } from "./elements";
import type { Scene } from "./scene";

const COPIED_MS = 2000;

export function showFacts({ made, isLong }: Scene): void {
  const [first] = made;
  page.made.hidden = !first;
  if (!first) return;
  const timings = Object.entries(first.timingsMs).map(
    ([stage, ms]) => `${stage} ${(ms / 1000).toFixed(2)} s`,
  );
  page.facts.replaceChildren(
    ...entry("Model", first.bundle),
    ...entry("Seed", String(first.seed)),
    ...entry("Sampling", described(first.sampling)),
    ...entry("Ran on", first.device),
    ...entry("Took", timings.join(", ")),
    ...made.flatMap((item) => {
      const name = isLong ? "Last sound codes" : "Sound codes";
      return entry("samples" in item ? name : "Picture codes", item.codes.join(" "), true);
    }),
  );
}

/** @param canCopy - Whether there is a button that copies it. */
function entry(name: string, text: string, canCopy = false): HTMLElement[] {
  const [term, description] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = name;
  description.textContent = text;
  description.dataset["fact"] = name;
  // Insecure pages have no clipboard.
  if (canCopy && isSecureContext) term.append(copyButton(name, text));
  return [term, description];
}

function copyButton(name: string, text: string): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  const label = `Copy ${name.toLowerCase()}`;
  button.setAttribute("aria-label", label);
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const isCopied = await navigator.clipboard.writeText(text).then(
      () => true,
      () => false, // a browser may forbid it
    );
    button.textContent = isCopied ? "Copied" : "Not allowed";
    button.setAttribute("aria-label", `${label}: ${button.textContent.toLowerCase()}`);
    setTimeout(() => {
      button.textContent = "Copy";
      button.setAttribute("aria-label", label);
    }, COPIED_MS);
  });
  return button;
}
