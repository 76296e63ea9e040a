"""In a notebook a sound is a player and a picture is shown."""

from pathlib import Path

import pytest

CODE = """
from echoes_rt import Echoes
sound, picture = Echoes.load({bundle!r}, device="cpu", threads=1).cogenerate(seed=1)
sound
---
picture
"""


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
    assert len(sound["text/plain"]) < 100
    assert picture["image/png"].startswith("iVBOR")
