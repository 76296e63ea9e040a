"""A transformer's run knows the codecs whose codes it reads."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.training.runs import train

from echoes_rt.errors import InputError
from echoes_training.bundles import open_source
from echoes_training.cli import main
from echoes_training.data.tokens import TokenCache
from echoes_training.presets import PRESETS
from echoes_training.stages import codebooks
from echoes_training.stages.codebooks import check_tokens
from echoes_training.stages.sequences import Sequences

TOKENS = Path("tokens.safetensors")


def with_sound_codes_of(cache: TokenCache, codebook: np.ndarray) -> TokenCache:
    return dataclasses.replace(cache, audio_codebook=np.ascontiguousarray(codebook))


@pytest.fixture(scope="module")
def run(random_tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("transformer") / "run"
    train("transformer", "--tokens", random_tokens, "--preset", "tiny", "--out", out)
    return out


def test_a_run_takes_only_the_codes_of_its_codecs(
    run: Path, random_tokens: Path, tmp_path: Path
) -> None:
    cache = TokenCache.load(random_tokens)
    other = with_sound_codes_of(cache, cache.audio_codebook[::-1])
    start = open_source(str(run))
    check_tokens(TOKENS, cache, run, None)
    check_tokens(TOKENS, cache, tmp_path, start)
    for new_run, source in ((run, None), (tmp_path, start)):
        with pytest.raises(InputError) as caught:
            check_tokens(TOKENS, other, new_run, source)
        assert str(caught.value) == (
            f"the audio codes of {TOKENS} were not made by the codec that the transformer of {run} "
            "reads; run echoes-train tokenize with that codec"
        )


def test_the_command_line_refuses_them_and_writes_nothing(
    run: Path, random_tokens: Path, tmp_path: Path
) -> None:
    cache, tokens, out = TokenCache.load(random_tokens), tmp_path / "tokens", tmp_path / "run"
    with_sound_codes_of(cache, cache.audio_codebook[::-1]).save(tokens)
    command = ["transformer", "--tokens", str(tokens), "--preset", "tiny", "--out", str(out)]
    result = CliRunner().invoke(main, [*command, "--start-from", str(run)])
    assert result.exit_code == 1
    assert "were not made by the codec that the transformer" in result.stderr
    assert not out.exists()


def test_the_rounding_of_a_bundle_makes_no_other_codec(
    tiny_bundle: Path, random_tokens: Path, tmp_path: Path
) -> None:
    bundle = open_source(str(tiny_bundle))
    stored = codebooks.of_source(bundle)
    noise = np.random.default_rng(0).uniform(-1, 1, stored["audio"].shape)
    before = np.asarray(stored["audio"] * (1 + noise / 2**10), np.float32)
    cache = dataclasses.replace(TokenCache.load(random_tokens), image_codebook=stored["image"])
    check_tokens(TOKENS, with_sound_codes_of(cache, before), tmp_path, bundle)
    with pytest.raises(InputError, match=r"the audio codes of .* the transformer of .*tiny_bundle"):
        check_tokens(TOKENS, cache, tmp_path, bundle)


def test_older_runs_kept_no_codebooks_and_take_any(
    run: Path, random_tokens: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").symlink_to(run / "config.json")
    (tmp_path / "step-0000004").symlink_to(run / "step-0000004")
    check_tokens(TOKENS, TokenCache.load(random_tokens), tmp_path, open_source(str(tmp_path)))


def test_another_number_of_codes_is_one_sentence(random_tokens: Path) -> None:
    cache = TokenCache.load(random_tokens)
    larger = with_sound_codes_of(cache, np.tile(cache.audio_codebook, (2, 1)))
    with pytest.raises(InputError, match=r"codes of 32 \+ 64 kinds, the preset needs 32 \+ 32; "):
        Sequences(larger, PRESETS["tiny"].transformer)
