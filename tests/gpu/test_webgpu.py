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
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echoes_rt import Echoes
from echoes_rt.format.sampling import Sampling

SERVER = Path(__file__).with_name("graph_server.mjs")
SWIFTSHADERS = [
    Path(folder) / "libvk_swiftshader.so"
    for folder in ("/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome")
]


def packed(array: np.ndarray) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"type": array.dtype.name, "dims": [*array.shape], "data": data}


@pytest.mark.slow
def test_steps_on_webgpu_draw_the_tokens_of_the_cpu(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = os.environ.get("ECHOES_RT_NODE_MODULES", "")
    swiftshader = next((path for path in SWIFTSHADERS if path.is_file()), None)
    node = shutil.which("node")
    if node is None or swiftshader is None or not (Path(modules) / "onnxruntime-node").is_dir():
        pytest.skip(
            "WEBGPU IS NOT TESTED: it takes node, Chromium's SwiftShader, and onnxruntime-node in "
            "the folder that ECHOES_RT_NODE_MODULES names"
        )
    echoes = Echoes.load(tiny_bundle, device="cpu")
    session = echoes.session("decode_audio_step")
    run, asked, expected = session.run, [], []

    def note(inputs: Any) -> Any:
        asked.append(json.dumps({name: packed(array) for name, array in inputs.items()}))
        expected.append(run(inputs))
        return expected[-1]

    monkeypatch.setattr(session, "run", note)
    grid, image = echoes.manifest.tokens.audio, echoes.manifest.tokens.image
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, grid.codebook_size, (3, grid.n_tokens), dtype=np.int32)
    tokens[:2] = grid.mask_token
    tokens[2, ::2] = grid.mask_token
    codes = rng.integers(0, image.codebook_size, (3, image.n_tokens), dtype=np.int32)
    sampling = Sampling(steps=4, guidance_scale=3.0)
    echoes.decode_tokens("audio", tokens, codes, seeds=[1, 2, 3], sampling=sampling)
    assert len(asked) == 4
    # SwiftShader is a Vulkan loader and driver in one.
    (tmp_path / "libvulkan.so.1").symlink_to(swiftshader)
    done = subprocess.run(
        [node, str(SERVER), modules, str(tiny_bundle / "decode_audio_step.onnx"), "webgpu"],
        input="\n".join(asked),
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
    )
    for line, wanted in zip(done.stdout.splitlines(), expected, strict=True):
        assert json.loads(line) == {name: packed(array) for name, array in wanted.items()}
    # The GPU's own programs did the products of every step.
    assert len(re.findall(r'Starting program "MatMul', done.stderr)) >= 4
