"""The model repository: Triton's schema, what its graphs take and give, and what it computes."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from echoes_export.cli import main
from echoes_export.triton import client
from echoes_export.triton.repository import DECODERS
from echoes_rt import Echoes
from echoes_rt.bundle import Bundle

ORT_TYPES = {"TYPE_FP32": "tensor(float)", "TYPE_INT32": "tensor(int32)"}


def schema() -> Any:
    """``ModelConfig`` as NVIDIA publishes it in its client, of which nothing else is needed."""
    package = importlib.util.find_spec("tritonclient")
    if package is None or not package.submodule_search_locations:
        pytest.skip("tritonclient is not installed")
    path = Path(package.submodule_search_locations[0]) / "grpc/model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def repository(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("triton") / "models"
    command = ["triton", str(tiny_bundle), "--out", str(out), "--max-batch", "4", "--tensorrt"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def configs(repository: Path) -> dict[str, Any]:
    """Each model's configuration, read by the published schema, which knows no other keys."""
    from google.protobuf import text_format

    model_config = schema().ModelConfig
    return {
        path.parent.name: text_format.Parse(path.read_text("utf-8"), model_config())
        for path in repository.glob("*/config.pbtxt")
    }


def test_every_model_is_configured_and_named_as_its_folder(
    repository: Path, configs: dict[str, Any]
) -> None:
    assert set(configs) == {path.name for path in repository.iterdir()}
    assert {"image_to_audio", "audio_to_image", "decode_audio", "decode_image"} < set(configs)
    for name, config in configs.items():
        assert config.name == name
        assert config.max_batch_size == 4
        is_ensemble = config.platform == "ensemble"
        assert (repository / name / "1/model.onnx").is_file() != is_ensemble
        assert (repository / name / "1").is_dir()
        assert config.HasField("dynamic_batching") != is_ensemble
        accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
        assert [a.name for a in accelerators] == (["tensorrt"] if name in DECODERS else [])


def test_configurations_say_what_the_graphs_take_and_give(
    repository: Path, configs: dict[str, Any]
) -> None:
    types = schema().DataType
    for name, config in configs.items():
        if config.platform == "ensemble":
            continue
        session = onnxruntime.InferenceSession(repository / name / "1/model.onnx")
        for told, found in (
            (config.input, session.get_inputs()),
            (config.output, session.get_outputs()),
        ):
            assert [tensor.name for tensor in told] == [tensor.name for tensor in found]
            for tensor, real in zip(told, found, strict=True):
                assert ORT_TYPES[types.Name(tensor.data_type)] == real.type
                dims = [dim if isinstance(dim, int) else -1 for dim in real.shape]
                assert dims[0] == -1  # the batch, which Triton does not want to be told
                assert list(tensor.dims) == dims[1:]


class Server:
    """Runs an ensemble as its configuration says, with Triton's rules for names."""

    def __init__(self, folder: Path, configs: dict[str, Any]) -> None:
        self.folder = folder
        self.configs = configs

    def infer(self, name: str, given: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        config = self.configs[name]
        assert set(given) == {tensor.name for tensor in config.input}
        tensors = dict(given)
        for step in config.ensemble_scheduling.step:
            model = self.configs[step.model_name]
            assert set(step.input_map) == {tensor.name for tensor in model.input}
            session = onnxruntime.InferenceSession(self.folder / step.model_name / "1/model.onnx")
            inputs = {key: tensors[value] for key, value in step.input_map.items()}
            for key, array in zip(
                step.output_map, session.run(list(step.output_map), inputs), strict=True
            ):
                assert step.output_map[key] not in tensors
                tensors[step.output_map[key]] = array
        return {tensor.name: tensors[tensor.name] for tensor in config.output}


@pytest.fixture(scope="module")
def server(repository: Path, configs: dict[str, Any]) -> Server:
    return Server(repository, configs)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


def test_a_served_sound_is_the_librarys(
    server: Server, bundle: Bundle, picture: Path, tmp_path: Path
) -> None:
    client.save(
        bundle, server.infer(*client.request(bundle, picture, seed=5)), tmp_path / "served.wav"
    )
    Echoes.load(bundle).generate(picture, seed=5).save(tmp_path / "own.wav")
    assert (tmp_path / "served.wav").read_bytes() == (tmp_path / "own.wav").read_bytes()


def test_a_served_picture_is_the_librarys(
    server: Server, bundle: Bundle, picture: Path, tmp_path: Path
) -> None:
    echoes = Echoes.load(bundle)
    sound = echoes.generate(picture, seed=1).save(tmp_path / "sound.wav")
    client.save(bundle, server.infer(*client.request(bundle, sound, seed=7)), tmp_path / "a.png")
    echoes.generate(sound, seed=7).save(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_requests_are_computed_together_as_alone(
    server: Server, bundle: Bundle, picture: Path
) -> None:
    requests = [client.request(bundle, picture, seed) for seed in (1, 2, 3)]
    model, asked = requests[0][0], [inputs for _, inputs in requests]
    together = {key: np.concatenate([inputs[key] for inputs in asked]) for key in asked[0]}
    whole = server.infer(model, together)["waveform"]
    assert not np.allclose(whole[0], whole[1])
    for row, inputs in zip(whole, asked, strict=True):
        np.testing.assert_allclose(server.infer(model, inputs)["waveform"][0], row, atol=1e-4)


def test_weights_lie_once_on_the_disk(repository: Path) -> None:
    files = list(repository.glob("*/1/weights.safetensors"))
    assert len(files) > 2
    assert len({path.stat().st_ino for path in files}) == 1


def test_a_folder_of_something_else_is_never_replaced(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    for option in ([], ["--overwrite"]):
        command = ["triton", str(tiny_bundle), "--out", str(tmp_path), *option]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 1
        assert "Error: " in result.output
    assert (tmp_path / "mine.txt").read_text("utf-8") == "mine"
