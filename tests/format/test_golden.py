"""Golden files are what the code writes today."""

from pathlib import Path

from tests.make_fixtures import write_golden

GOLDEN = Path(__file__).parents[1] / "fixtures" / "golden"


def test_golden_files_are_rewritten_byte_for_byte(tmp_path: Path) -> None:
    write_golden(tmp_path)
    written, kept = (
        {path.name: path.read_text("utf-8") for path in folder.iterdir()}
        for folder in (tmp_path, GOLDEN)
    )
    assert written == kept
