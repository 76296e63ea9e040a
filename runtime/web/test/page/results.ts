/** What becomes of results: they stay, come back, are changed and copied. */

import type { Page } from "playwright-core";
import { beforeAll, describe, expect, inject, it } from "vitest";

import { readJson } from "../fixtures";
import { codesAfter, WAIT } from "./visit";

const media = inject("media");
const { oneStep } = readJson(`${media}/expected.json`);

/** Tests with one step, on a page on which a sound was made of a picture. */
export function describeResults(of: () => Page): void {
  let page: Page;
  const status = (words: string) => page.getByText(words, { exact: true }).waitFor(WAIT);
  const button = (name: string) => page.getByRole("button", { name, exact: true });
  const codes = () => page.locator("dd[data-fact=Sound\\ codes]").textContent();
  const role = (card: string) => page.locator(`#${card}-role`).textContent();

  /** What shows that the sound of the last result is there. */
  const heard = async () => [
    await page.locator("#spectrogram").getAttribute("aria-label"),
    await page.locator("#play").isVisible(),
    await page.locator("#save-sound").isVisible(),
    await codes(),
  ];

  describe("a result", () => {
    beforeAll(async () => {
      page = of();
      await page.getByLabel("Seed").fill("1");
      const choose = () => page.locator("#picture-file").setInputFiles(`${media}/picture.png`);
      expect((await codesAfter(page, choose))["Sound codes"]).toEqual(oneStep.imageToAudio);
    });

    it("is called what it is", async () => {
      expect([await role("picture"), await role("sound")]).toEqual(["your picture", "generated"]);
    });

    it("stays when a setting is wrong, and when the next one is cancelled", async () => {
      const before = await heard();
      await page.getByLabel("Seed").fill("-1");
      await page.getByLabel("Seed").press("Enter");
      await page.getByRole("alert").filter({ hasText: "the seed must be" }).waitFor(WAIT);
      expect(await heard()).toEqual(before);
      await page.getByLabel("Seed").fill("1");
      await page.evaluate(() => {
        for (const id of ["remake", "cancel"]) document.getElementById(id)!.click();
      });
      await status("Cancelled");
      expect(await heard()).toEqual(before);
    });

    it("stays, but is said to be older, until another picture has its sound", async () => {
      await page.evaluate(() => {
        document.querySelector<HTMLElement>("#samples button")!.click();
        // As soon as it may be cancelled.
        new MutationObserver((_, watch) => {
          watch.disconnect();
          document.getElementById("cancel")!.click();
        }).observe(document.getElementById("cancel")!, { attributes: true });
      });
      // The status may be that of the test before.
      await expect.poll(() => role("picture"), { timeout: 30_000 }).toBe("a sample");
      await status("Cancelled");
      expect(await role("sound")).toBe("generated before");
      await page.locator("#play").waitFor(WAIT);
    });

    it("comes back from the last results", async () => {
      const before = await codes();
      await page.getByLabel("Seed").fill("7");
      await codesAfter(page, () => button("Make again").click());
      expect(await codes()).not.toBe(before);
      const earlier = page.locator("#results").getByRole("button", { name: "sound, seed 1" }).first();
      await earlier.click();
      expect(await codes()).toBe(before);
      expect(await earlier.getAttribute("aria-pressed")).toBe("true");
      expect(await page.getByLabel("Seed").inputValue()).toBe("1");
      expect([await role("picture"), await role("sound")]).toEqual(["your picture", "generated"]);
    });

    it("gives its codes to the clipboard", async () => {
      if (!(await button("Copy sound codes").isVisible())) await page.locator("#made > summary").click();
      await button("Copy sound codes").click();
      await page.getByText("Copied", { exact: true }).waitFor(WAIT);
      expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(await codes());
      await page.locator("#made > summary").click();
    });
  });

  describe("a change", () => {
    const seconds = async () => Number(await page.locator("#seek").getAttribute("max"));

    async function drag(selector: string, from: number, to: number): Promise<void> {
      await page.locator(selector).scrollIntoViewIfNeeded();
      const { x, y, width, height } = (await page.locator(selector).boundingBox())!;
      await page.mouse.move(x + from * width, y + from * height);
      await page.mouse.down();
      await page.mouse.move(x + to * width, y + to * height, { steps: 4 });
      await page.mouse.up();
    }

    beforeAll(async () => {
      for (const id of ["change-picture", "change-sound"]) {
        await page.locator(`#${id} > summary`).click();
      }
    });

    it("replaces a part of the sound that is dragged over", async () => {
      const [before, duration] = [await codes(), await seconds()];
      await drag("#spectrogram", 0.5, 0.75);
      expect(Number(await page.getByLabel("From").inputValue())).toBeCloseTo(duration / 2, 1);
      expect(Number(await page.getByLabel("To", { exact: true }).inputValue())).toBeCloseTo(
        0.75 * duration,
        1,
      );
      await codesAfter(page, () => page.locator("#replace-sound button").click());
      expect(await codes()).not.toBe(before);
      expect(await seconds()).toBeCloseTo(duration, 3);
    });

    it("varies the sound", async () => {
      const before = await codes();
      await codesAfter(page, () => button("Vary the sound").click());
      expect(await codes()).not.toBe(before);
    });

    it("continues the sound", async () => {
      const duration = await seconds();
      await page.getByLabel("Seconds more").fill("1");
      await codesAfter(page, () => button("Continue the sound").click());
      expect(await seconds()).toBeCloseTo(duration + 1, 3);
      await page.locator("dd[data-fact=Last\\ sound\\ codes]").waitFor({ state: "attached" });
      expect(await role("picture")).toBe("your picture");
    });

    it("replaces a part of the picture that is dragged over, and varies it", async () => {
      await drag("#picture", 0.25, 0.5);
      const part = ["Left", "Top", "Width", "Height"].map((name) => page.getByLabel(name));
      for (const field of part) expect(Number(await field.inputValue())).toBeCloseTo(25, -0.7);
      await codesAfter(page, () => page.locator("#replace-picture button").click());
      expect(await role("picture")).toBe("generated");
      await page.locator("#keep-picture").fill("20");
      const made = await codesAfter(page, () => button("Vary the picture").click());
      expect(made["Picture codes"]).toHaveLength(oneStep.audioToImage.length);
    });
  });
}
