import { defineConfig } from "vitest/config";

const isTiny = process.env["ECHOES_RT_TEST_BUNDLE"] === undefined;

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/make_expected.ts"],
    testTimeout: isTiny ? 120_000 : 3_600_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
});
