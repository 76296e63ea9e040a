/** Offers the graphics card, or says why it cannot be had. */

import { missingWebGpu } from "../echoes";
import { page } from "./elements";

export async function offerWebGpu(): Promise<void> {
  const missing = await missingWebGpu();
  page.device.querySelector<HTMLOptionElement>("[value=webgpu]")!.disabled = Boolean(missing);
  page.deviceNote.textContent = missing
    ? `${missing[0]!.toUpperCase()}${missing.slice(1)}.`
    : "WebAssembly gives the same codes for the same seed as every other way to run the model; " +
      "a graphics card nearly always does.";
}
