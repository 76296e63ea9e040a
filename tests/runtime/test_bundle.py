import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from echoes_rt import bundle as bundle_module
from echoes_rt.bundle import Bundle, find_bundle
from echoes_rt.errors import BundleError, ManifestError


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


@pytest.fixture
def zipped(tmp_path: Path) -> Callable[..., Path]:
    def make(folder: Path, prefix: str = "", **extra: bytes) -> Path:
        path = tmp_path / "bundle.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in folder.iterdir():
                archive.write(file, f"{prefix}{file.name}")
            for name, data in extra.items():
                archive.writestr(name, data)
        return path

    return make


def test_folder_opens(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    assert bundle.manifest.name == "echoes-tiny"
    assert bundle.graph_path("vocoder") == tiny_bundle / "vocoder.onnx"


@pytest.mark.parametrize("prefix", ["", "echoes-tiny/"])
def test_zip_opens_and_its_folder_goes_with_it(
    prefix: str, tiny_bundle: Path, zipped: Callable[..., Path]
) -> None:
    bundle = Bundle.open(zipped(tiny_bundle, prefix))
    folder = bundle.folder
    assert (folder / "vocoder.onnx").read_bytes() == (tiny_bundle / "vocoder.onnx").read_bytes()
    del bundle
    assert not folder.exists()


def test_zip_gives_nothing_that_the_manifest_does_not_list(
    tiny_bundle: Path, zipped: Callable[..., Path]
) -> None:
    evil = {"../evil.txt": b"x", "/evil.txt": b"x", "extra.txt": b"x"}
    bundle = Bundle.open(zipped(tiny_bundle, **evil))
    assert sorted(path.name for path in bundle.folder.rglob("*")) == sorted(
        [*bundle.manifest.files, "manifest.json"]
    )
    assert not (bundle.folder.parent / "evil.txt").exists()


def test_zip_member_larger_than_announced_is_refused(
    copy: Path, zipped: Callable[..., Path]
) -> None:
    (copy / "vocoder.onnx").write_bytes(bytes(10_000_000))
    with pytest.raises(BundleError, match=r"vocoder\.onnx unpacks to more than the \d+ bytes"):
        Bundle.open(zipped(copy))


def test_zip_of_absurd_size_is_refused(copy: Path, zipped: Callable[..., Path]) -> None:
    data = json.loads((copy / "manifest.json").read_text())
    data["graphs"]["vocoder"]["size_bytes"] = 1 << 34
    (copy / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(BundleError, match=r"unpacks to .* bytes, at most 8589934592 are allowed"):
        Bundle.open(zipped(copy))


def test_zip_names_itself_in_errors(copy: Path, zipped: Callable[..., Path]) -> None:
    (copy / "manifest.json").write_text("{}")
    path = zipped(copy)
    with pytest.raises(ManifestError) as caught:
        Bundle.open(path)
    assert str(caught.value) == f"{path}/manifest.json: manifest key format_version is missing"


def test_zip_that_lacks_a_file_is_refused(copy: Path, zipped: Callable[..., Path]) -> None:
    (copy / "vocoder.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks the file vocoder\.onnx"):
        Bundle.open(zipped(copy))


def test_damaged_zip_is_refused(tiny_bundle: Path, zipped: Callable[..., Path]) -> None:
    path = zipped(tiny_bundle)
    data = bytearray(path.read_bytes())
    data[3000:6000] = bytes(3000)
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"bundle\.zip"):
        Bundle.open(path)


def test_zip_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("deep/er/manifest.json", "{}")
    with pytest.raises(BundleError, match=r"it has 0 manifest\.json at its top"):
        Bundle.open(tmp_path / "a.zip")


def test_refused_zip_leaves_nothing_behind(
    copy: Path, zipped: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    (copy / "vocoder.onnx").write_bytes(bytes((copy / "vocoder.onnx").stat().st_size))
    with pytest.raises(BundleError, match="checksum"):
        Bundle.open(zipped(copy))
    assert not list(scratch.iterdir())


def test_wrong_checksum_is_refused(copy: Path) -> None:
    data = bytearray((copy / "vocoder.onnx").read_bytes())
    data[-1] ^= 1
    (copy / "vocoder.onnx").write_bytes(data)
    with pytest.raises(
        BundleError, match=r"vocoder.onnx of .* has the checksum .*\.\.\., the manifest says .*get"
    ):
        Bundle.open(copy)


def test_wrong_size_is_refused(copy: Path) -> None:
    with (copy / "vocoder.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match=r"has \d+ bytes, the manifest says \d+; get the bundle"):
        Bundle.open(copy)


def test_missing_file_is_refused(copy: Path) -> None:
    (copy / "vocoder.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks the file vocoder\.onnx; get the bundle again"):
        Bundle.open(copy)


def test_link_out_of_the_folder_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "vocoder.onnx").rename(tmp_path / "elsewhere.onnx")
    (copy / "vocoder.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(BundleError, match=r"vocoder\.onnx of bundle .* is a link that leaves it"):
        Bundle.open(copy)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(BundleError, match=r"has no manifest\.json"):
        Bundle.open(tmp_path)
    with pytest.raises(BundleError, match=r"is not a bundle: expected a folder or a \.zip of one"):
        Bundle.open(tmp_path / "file.txt")
    with pytest.raises(BundleError, match="no bundle at"):
        Bundle.open(tmp_path / "missing")
    with pytest.raises(BundleError, match="cannot be read: File name too long"):
        find_bundle("a" * 300)


def test_unknown_graph_is_named(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match="echoes-tiny has no graph 'fused'; it has image_encoder"):
        Bundle.open(tiny_bundle).graph_path("fused")


def test_variable_overrides_the_default(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHOES_RT_BUNDLE", str(tiny_bundle))
    assert find_bundle().source == tiny_bundle
    monkeypatch.setenv("ECHOES_RT_BUNDLE", str(tmp_path / "nowhere"))
    with pytest.raises(BundleError, match="from the environment variable ECHOES_RT_BUNDLE"):
        find_bundle()
    assert find_bundle(tiny_bundle).source == tiny_bundle


def test_bundles_of_the_package_are_found_by_name(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECHOES_RT_BUNDLE", raising=False)
    monkeypatch.setattr(bundle_module, "BUNDLED_FOLDER", tmp_path)
    with pytest.raises(BundleError, match="without the default bundle echoes-mini; give the path"):
        find_bundle()
    with pytest.raises(BundleError, match=r"no bundle 'echoes-mini'.*came with echoes-rt \(none\)"):
        find_bundle("echoes-mini")
    shutil.copytree(tiny_bundle, tmp_path / "echoes-mini")
    assert find_bundle().source == find_bundle("echoes-mini").source == tmp_path / "echoes-mini"
