"""A GPU's execution provider without a GPU: WebGPU on SwiftShader, which computes on the CPU.

Runs where ECHOES_RT_NODE_MODULES names a node_modules folder with onnxruntime-node (npm install
onnxruntime-node), whose library has the WebGPU provider built in, and Chromium brings SwiftShader.
"""

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from echoes_rt import Echoes
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.decode import steps
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import make_plan
from echoes_rt.format.sampling import Sampling

SERVER = Path(__file__).with_name("graph_server.mjs")
SWIFTSHADERS = [
    Path(folder) / "libvk_swiftshader.so"
    for folder in ("/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome")
]


class NodeSession:
    """A graph in a process of onnxruntime-node, behind the runtime's interface."""

    device = "webgpu"
    inputs = ("guidance_scale",)

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        question = {
            name: {
                "type": array.dtype.name,
                "dims": array.shape,
                "data": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode(),
            }
            for name, array in inputs.items()
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "onnxruntime-node ended"
        return {
            name: np.frombuffer(base64.b64decode(a["data"]), a["type"]).reshape(a["dims"])
            for name, a in json.loads(answer).items()
        }

    run_steps = OnnxSession.run_steps


@pytest.fixture
def said(tmp_path: Path) -> Path:
    return tmp_path / "stderr.txt"


@pytest.fixture
def session(tiny_bundle: Path, tmp_path: Path, said: Path) -> Iterator[NodeSession]:
    modules = os.environ.get("ECHOES_RT_NODE_MODULES", "")
    swiftshader = next((path for path in SWIFTSHADERS if path.is_file()), None)
    node = shutil.which("node")
    if node is None or swiftshader is None or not (Path(modules) / "onnxruntime-node").is_dir():
        pytest.skip(
            "WEBGPU IS NOT TESTED: it takes node, Chromium's SwiftShader, and onnxruntime-node in "
            "the folder that ECHOES_RT_NODE_MODULES names"
        )
    # SwiftShader is a Vulkan loader and driver in one.
    (tmp_path / "libvulkan.so.1").symlink_to(swiftshader)
    with (
        said.open("w") as log,
        subprocess.Popen(
            [node, str(SERVER), modules, str(tiny_bundle / "decode_audio_step.onnx"), "webgpu"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
        ) as process,
    ):
        yield NodeSession(process)
        process.kill()


@pytest.mark.slow
def test_steps_on_webgpu_draw_the_tokens_of_the_cpu(
    session: NodeSession, tiny_bundle: Path, said: Path
) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu")
    grid, image = echoes.manifest.tokens.audio, echoes.manifest.tokens.image
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, grid.codebook_size, (3, grid.n_tokens), dtype=np.int32)
    tokens[:2] = grid.mask_token
    tokens[2, ::2] = grid.mask_token
    codes = rng.integers(0, image.codebook_size, (3, image.n_tokens), dtype=np.int32)
    plan = make_plan(tokens == grid.mask_token, grid.order, Sampling(steps=4, guidance_scale=3.0))
    asked = (tokens, echoes.context("audio", codes), plan, uniforms([1, 2, 3], 0, grid.n_tokens))
    cpu = echoes.session("decode_audio_step")
    decoded = [steps.decode(backend, *asked) for backend in (cpu, session)]  # type: ignore[arg-type]
    np.testing.assert_array_equal(*decoded)
    # The GPU's own programs did the products of every step.
    log = said.read_text(errors="replace")
    assert len(re.findall(r'Starting program "MatMul', log)) >= 4
