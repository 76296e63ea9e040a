/** What a visitor sees if the model cannot be loaded. */

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { SCREENSHOTS, WAIT, type Served } from "./visit";

const media = inject("media");

export function describeFailures(of: () => Served): void {
  describe("without its bundle", () => {
    let page: Page;

    const alert = (sentence: string | RegExp) =>
      page.getByRole("alert").filter({ hasText: sentence }).waitFor(WAIT);
    const cutOff = () => page.route("**/bundle/**", (route) => route.abort());

    async function expectNothingRuns(): Promise<void> {
      for (const name of ["Invent both", "Another one", "Make again"]) {
        expect(await page.getByRole("button", { name }).isDisabled()).toBe(true);
      }
      expect(await page.locator("#progress").isVisible()).toBe(false);
      const status = await page.locator("#status").textContent();
      expect(status).toBe("No model; reload the page to try again");
      expect(await page.locator("#about").textContent()).toBe("Nothing leaves this machine.");
      await page.locator("#picture-file").setInputFiles(`${media}/picture.png`);
      await alert("the model could not be loaded, so nothing can be made");
      expect(await page.locator("#picture").isVisible()).toBe(false);
    }

    beforeAll(async () => {
      // A service worker's requests cannot be cut off.
      const context = await of().browser.newContext({ serviceWorkers: "block" });
      page = await context.newPage();
      await cutOff();
      await page.goto(of().url);
    });

    afterAll(() => page.context().close());

    it("says what is wrong, and waits for nothing", async () => {
      await alert(/bundle\/manifest\.json cannot be fetched/);
      await page.screenshot({ path: `${SCREENSHOTS}/failed.png`, fullPage: true });
      await expectNothingRuns();
    });

    it("works once it is reloaded, and says that it needs its server", async () => {
      await page.unroute("**/bundle/**");
      await page.reload();
      await page.getByText("Ready", { exact: true }).waitFor(WAIT);
      await page.getByText("Needs the server at each start.").waitFor(WAIT);
    });

    it("has no model any more if the change to another device fails", async () => {
      await cutOff();
      await page.evaluate(async () => {
        await caches.delete("echoes-rt-bundles");
        document.getElementById("device")!.dispatchEvent(new Event("change"));
      });
      await alert(/bundle\/manifest\.json cannot be fetched/);
      await expectNothingRuns();
    });
  });
}
