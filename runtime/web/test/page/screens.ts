/** The page at the sizes of phones, tablets and desks, light and dark. */

import axe from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { codesAfter, SCREENSHOTS, scrolledWidth, smallButtons, visit, WAIT, type Served } from "./visit";

const WIDTHS = [320, 390, 768, 1280, 2560];
const SCREENS = WIDTHS.flatMap((width) =>
  (["light", "dark"] as const).map((colorScheme) => ({ width, colorScheme })),
);

/** What axe has to say of all that is on the page now. */
async function complaints(page: Page): Promise<string[]> {
  const { violations } = await page.evaluate<axe.AxeResults>("axe.run()");
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

/** The texts that do not fit into their boxes. */
function clippedTexts(page: Page): Promise<string[]> {
  return page.locator("body *:visible").evaluateAll((items) =>
    items
      .filter((item) => {
        const hasText = [...item.childNodes].some((node) => node.nodeType === 3 && node.nodeValue!.trim());
        if (!hasText || item.matches(".unseen, option")) return false;
        const { left, right } = item.getBoundingClientRect();
        const isWide = item.scrollWidth > item.clientWidth + 1 && item.clientWidth > 0;
        return isWide || left < 0 || right > innerWidth + 1;
      })
      .map((item) => `${item.id || item.tagName}: ${item.textContent}`),
  );
}

/** The samples that stand higher, lower or are of another height than the next one in their row. */
function raggedSamples(page: Page): Promise<string[]> {
  return page.locator("#samples button").evaluateAll((buttons) => {
    const boxes = buttons.map((button) => button.getBoundingClientRect());
    const isRagged = (box: DOMRect, next?: DOMRect) =>
      next && next.left > box.left && (next.top !== box.top || next.bottom !== box.bottom);
    return buttons.filter((_, i) => isRagged(boxes[i]!, boxes[i + 1])).map((b) => b.textContent!);
  });
}

export function describeScreens(of: () => Served): void {
  describe("on every screen", () => {
    let page: Page;
    let trouble: string[];
    const sample = () => page.locator("#samples button").first();

    beforeAll(async () => {
      const { browser, url } = of();
      ({ page, trouble } = await visit(browser, url, { reducedMotion: "reduce" }));
      await page.evaluate(axe.source);
    });

    afterAll(() => page.context().close());

    const resize = async (width: number) => {
      await page.setViewportSize({ width, height: width < 700 ? 844 : 860 });
      await page.mouse.move(0, 0); // over nothing that lights up
      await page.evaluate(() => window.scrollTo(0, 0));
    };

    it("shows its samples and its one strong button at once", async () => {
      for (const width of WIDTHS) {
        await resize(width);
        for (const found of [page.locator("#choose-picture"), sample()]) {
          const { y, height } = (await found.boundingBox())!;
          expect(y + height).toBeLessThanOrEqual(page.viewportSize()!.height);
        }
        expect(await raggedSamples(page)).toEqual([]);
      }
      const names = await page.locator("#samples button").allTextContents();
      expect(names.filter((name) => /[-_.]/.test(name))).toEqual([]);
      expect(await complaints(page)).toEqual([]);
    });

    it("keeps Cancel in sight on a phone, wherever a hand scrolls", async () => {
      await resize(320);
      const codes = codesAfter(page, () => sample().click());
      const cancel = page.getByRole("button", { name: "Cancel" });
      await cancel.waitFor(WAIT);
      for (const y of [0, 10_000]) {
        await page.evaluate((y) => window.scrollTo(0, y), y);
        const box = await cancel.boundingBox();
        if (!box) break; // it is made already
        expect(box.y).toBeGreaterThanOrEqual(0);
        expect(box.y + box.height).toBeLessThanOrEqual(page.viewportSize()!.height);
      }
      await codes;
    });

    it.each(SCREENS)("fits $width pixels, $colorScheme", async ({ width, colorScheme }) => {
      await page.emulateMedia({ colorScheme });
      await resize(width);
      const path = `${SCREENSHOTS}/page-${width}-${colorScheme}.jpg`;
      await page.screenshot({ path, fullPage: true, type: "jpeg", quality: 65 });
      const folded = page.locator("details:visible > summary");
      const toggle = () => folded.evaluateAll((items) => items.forEach((item) => (item as HTMLElement).click()));
      await toggle();
      expect(await scrolledWidth(page)).toBeLessThanOrEqual(width);
      expect(await clippedTexts(page)).toEqual([]);
      expect(await smallButtons(page)).toEqual([]);
      expect(await complaints(page)).toEqual([]);
      await toggle();
    });

    it("warns of a picture that the model does not know", async () => {
      await page.addInitScript(() => {
        const { set } = Object.getOwnPropertyDescriptor(Worker.prototype, "onmessage")!;
        Object.defineProperty(Worker.prototype, "onmessage", {
          set(receive: (event: MessageEvent) => void) {
            set!.call(this, (event: MessageEvent) => {
              if (event.data.result?.samples) event.data.result.confidence = 0.1;
              receive(event);
            });
          },
        });
      });
      await page.reload();
      await page.getByText("Ready", { exact: true }).waitFor(WAIT);
      expect(await page.locator("#unknown").isVisible()).toBe(false);
      await codesAfter(page, () => sample().click());
      await page.getByText("I do not know this picture").waitFor(WAIT);
      expect(trouble).toEqual([]);
    });
  });
}
