"""What a user writes passes mypy."""

from pathlib import Path

import pytest
from tests.pages import DOCS, README, ROOT, blocks

USES = """
import io
from pathlib import Path

import numpy as np
from PIL import Image

from echoes_rt import Echoes, Picture, Sound

echoes = Echoes.load()
sounds: list[Sound] = [
    echoes.generate("dog.jpg", duration=9),
    echoes.generate(Image.open("dog.jpg"), seed=1),
    echoes.image_to_audio(np.zeros((9, 9, 3), np.uint8), steps=4),
    echoes.image_to_audio(io.BytesIO(b"")),
    echoes.continue_((np.zeros(9, np.float32), 22_050), image=b""),
]
pictures: list[Picture] = [
    echoes.generate((np.zeros(9), 22_050), start=1.0),
    echoes.audio_to_image(Path("dog.wav")),
]
either: Sound | Picture = echoes.generate(Path("dog.wav").open("rb"))
content: bytes = either.to_bytes()
path: Path = either.save("out.wav")
sounds[0].save(io.BytesIO(), "flac")
"""


@pytest.mark.slow
def test_what_pages_show_and_every_form_of_use_pass_mypy(tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api")
    files = []
    pages = [block.text for block in blocks(README, DOCS / "use.md", kind="python")]
    for i, code in enumerate([*pages, USES]):
        files.append(tmp_path / f"use_{i}.py")
        files[-1].write_text(code, encoding="utf-8")
    cache = ROOT / ".mypy_cache"  # of make check, which has read the packages
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache)]
    said, trouble, status = mypy.run([*options, *map(str, files)])
    assert status == 0, said + trouble
