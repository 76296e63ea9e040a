/** Asks the Python runtime for what the tests compare with; ECHOES_RT_PYTHON names its Python. */

import { execFileSync } from "node:child_process";

import { EXPECTED, REPOSITORY, TEST_BUNDLE } from "./fixtures";

export default function setup(): void {
  const python = process.env["ECHOES_RT_PYTHON"] ?? "python3";
  const script = `${REPOSITORY}tests/web/make_expected.py`;
  execFileSync(python, [script, TEST_BUNDLE, EXPECTED, process.env["ECHOES_RT_SEEDS"] ?? "50"], {
    env: { ...process.env, PYTHONPATH: `${REPOSITORY}runtime` },
    stdio: "inherit",
  });
}
