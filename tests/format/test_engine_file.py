"""Engine records: what was written is read, and each way of being stale is named."""

import dataclasses
import json
from pathlib import Path

import pytest

from echoes_rt.errors import BackendError
from echoes_rt.format.engine_file import (
    EngineFile,
    EngineKey,
    file_sha256,
    model_sha256,
    record_path,
)
from echoes_rt.format.graphs import DataFile, TensorSpec

KEY = EngineKey(
    graph="decode",
    flavour="tensorrt",
    version="10.16.1",
    sm=87,
    precision="fp16",
    model_sha256="a" * 64,
    driver="540.4.0",
    l4t="36.4.3",
)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / KEY.file_name
    path.write_bytes(b"engine")
    record(path, KEY)
    return path


def record(engine: Path, key: EngineKey) -> EngineFile:
    made = EngineFile(
        key=key,
        engine_sha256=file_sha256(engine),
        inputs={"tokens": TensorSpec(dtype="int32", shape=("batch", 24))},
        outputs={"decoded": TensorSpec(dtype="int32", shape=("batch", 24))},
        ranges={"batch": (1, 1, 4)},
    )
    made.write(engine)
    return made


def test_record_is_read_as_written(engine: Path) -> None:
    assert engine.name == "decode.tensorrt.sm87.fp16.engine"
    found = EngineFile.read(engine)
    assert found == record(engine, KEY)
    found.check(engine, KEY)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("graph", "image_to_audio", "graph decode, not image_to_audio"),
        ("model_sha256", "b" * 64, "another bundle"),
        ("flavour", "rtx", "tensorrt, and rtx"),
        ("version", "10.3.0", "10.16.1, and version 10.3.0"),
        ("sm", 110, "sm_87, and this is sm_110"),
        ("precision", "int8", "fp16, and int8"),
        ("driver", "580.00", "540.4.0, and driver 580.00"),
        ("driver", None, "540.4.0, and driver None"),
        ("l4t", "38.2.0", "36.4.3, and this is 38.2.0"),
    ],
)
def test_stale_and_foreign_engines_are_refused(
    engine: Path, name: str, value: object, words: str
) -> None:
    wanted = dataclasses.replace(KEY, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(BackendError, match=rf"{words}.*; build it again"):
        EngineFile.read(engine).check(engine, wanted)


def test_engine_built_without_a_driver_runs_with_any(engine: Path) -> None:
    record(engine, dataclasses.replace(KEY, driver=None, l4t=None))
    EngineFile.read(engine).check(engine, KEY)


def test_damaged_engine_is_refused(engine: Path) -> None:
    engine.write_bytes(b"engines")
    with pytest.raises(BackendError, match="is damaged"):
        EngineFile.read(engine).check(engine, KEY)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2}', '{"schema": 2, "graph": 3}'])
def test_broken_record_is_refused(engine: Path, text: str) -> None:
    record_path(engine).write_text(text)
    with pytest.raises(BackendError, match="is no record of an engine"):
        EngineFile.read(engine)


def test_missing_record_and_one_of_another_schema_are_refused(engine: Path) -> None:
    data = json.loads(record_path(engine).read_text())
    record_path(engine).write_text(json.dumps(data | {"schema": 99}))
    with pytest.raises(BackendError, match="another version of echoes-rt"):
        EngineFile.read(engine)
    record_path(engine).unlink()
    with pytest.raises(BackendError, match="cannot be read"):
        EngineFile.read(engine)


def test_model_sha256_sees_every_file_and_no_order() -> None:
    files = [DataFile(file=name, sha256=name * 64, size_bytes=1) for name in "abc"]
    assert model_sha256(files) == model_sha256(reversed(files))
    assert len({model_sha256(files[:n]) for n in range(4)}) == 4
    renamed = [dataclasses.replace(files[0], file="d"), *files[1:]]
    assert model_sha256(renamed) != model_sha256(files)
