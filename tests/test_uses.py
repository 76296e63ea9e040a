"""Where people use it: the web service of docs/serve.py, and a notebook."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from echoes_rt import Echoes

SERVICE = Path(__file__).parents[1] / "docs/serve.py"

CODE = """
from echoes_rt import Echoes
sound, picture = Echoes.load({bundle!r}, device="cpu", threads=1).cogenerate(seed=1)
sound
---
picture
"""


@pytest.fixture
def client(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("fastapi")
    testclient = pytest.importorskip("fastapi.testclient")
    monkeypatch.setenv("ECHOES_RT_BUNDLE", str(tiny_bundle))
    spec = importlib.util.spec_from_file_location("serve", SERVICE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return testclient.TestClient(module.app)


def test_a_picture_is_answered_with_its_sound(
    client: Any, tiny_bundle: Path, picture: Path
) -> None:
    answer = client.post("/sound?seed=7&format=flac", content=picture.read_bytes())
    assert (answer.status_code, answer.headers["x-seed"]) == (200, "7")
    made = Echoes.load(tiny_bundle).image_to_audio(picture, seed=7)
    assert answer.content == made.to_bytes("flac")


def test_what_is_no_picture_is_the_clients_fault(client: Any) -> None:
    answer = client.post("/sound", content=b"hello")
    assert answer.status_code == 422
    assert "<bytes>" in answer.json()["detail"]


def test_results_show_themselves_in_a_notebook(tiny_bundle: Path, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    cells = CODE.format(bundle=str(tiny_bundle)).split("---")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    sound, picture = (cell.outputs[-1]["data"] for cell in notebook.cells)
    assert "<audio controls" in sound["text/html"]
    for shown in (sound, picture):
        assert "seed 1" in shown["text/plain"]
        assert len(shown["text/plain"]) < 100
    assert picture["image/png"].startswith("iVBOR")
