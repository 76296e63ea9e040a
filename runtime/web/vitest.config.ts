import { defineConfig } from "vitest/config";

const isTiny = process.env["ECHOES_RT_TEST_BUNDLE"] === undefined;

const parts = {
  name: "parts",
  include: ["test/*.test.ts"],
  globalSetup: ["test/make_expected.ts"],
  testTimeout: isTiny ? 120_000 : 3_600_000,
  hookTimeout: 120_000,
  fileParallelism: false,
};

const page = {
  name: "page",
  include: ["test/page/*.test.ts"],
  globalSetup: ["test/page/demo.ts"],
  testTimeout: 600_000,
  hookTimeout: 900_000,
};

export default defineConfig({ test: { projects: [{ test: parts }, { test: page }] } });
