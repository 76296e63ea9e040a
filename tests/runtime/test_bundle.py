import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from echoes_rt import Echoes
from echoes_rt import bundle as bundle_module
from echoes_rt.bundle import Bundle, find_bundle
from echoes_rt.errors import BundleError


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


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.resolve().write_bytes(data)


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "other content": (flip, r"vocoder\.onnx of .* has the checksum .*, the manifest says"),
    "a byte more": (lambda path: path.write_bytes(path.read_bytes() + b"x"), r"\d+ bytes"),
    "very much more": (lambda path: path.write_bytes(bytes(10_000_000)), r"\d+ bytes"),
    "nothing": (Path.unlink, r"lacks the file vocoder\.onnx"),
}


@pytest.mark.parametrize("is_zip", [False, True])
@pytest.mark.parametrize("kind", BREAKS)
def test_file_that_is_not_what_the_manifest_says_is_refused(
    kind: str,
    is_zip: bool,
    copy: Path,
    zipped: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    change, words = BREAKS[kind]
    change(copy / "vocoder.onnx")
    with pytest.raises(BundleError, match=words):
        Bundle.open(zipped(copy) if is_zip else copy)
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: b"{}", r"bundle\.zip/manifest\.json: manifest key format_version is missing"),
        (lambda text: bytes(1 << 24), "unpacks to more than the 1048576 bytes"),
        (
            lambda text: re.sub(rb'"size_bytes": \d+', b'"size_bytes": 17179869184', text),
            r"unpacks to .* bytes, at most 8589934592 are allowed",
        ),
    ],
    ids=["no manifest", "endless", "absurd sizes"],
)
def test_zip_with_a_strange_manifest_is_refused(
    change: Callable[[bytes], bytes], words: str, copy: Path, zipped: Callable[..., Path]
) -> None:
    path = copy / "manifest.json"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BundleError, match=words):
        Bundle.open(zipped(copy))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("member", ["manifest.json", "mel_decoder.onnx"])
def test_zip_of_a_kind_that_cannot_be_unpacked_bit_by_bit_is_refused(
    method: int, member: str, copy: Path, tmp_path: Path
) -> None:
    """A few bytes of it become gigabytes, before anything can be compared."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in copy.iterdir():
            kind = method if file.name == member else zipfile.ZIP_DEFLATED
            archive.write(file, file.name, kind)
    with pytest.raises(BundleError, match=f"{member} of .* is neither stored nor deflated"):
        Bundle.open(tmp_path / "a.zip")


def damaged(data: bytes) -> dict[str, bytes]:
    """Zips whose directory lies, and one of other content."""
    entry, end = data.rindex(b"PK\1\2"), data.rindex(b"PK\5\6")
    name = entry + 46
    return {
        "name that is no text": data[: entry + 8]
        + b"\0\x08"
        + data[entry + 10 : name]
        + b"\xff"
        + data[name + 1 :],
        "offset outside": data[: entry + 42] + b"\xff\xff\xff\x7f" + data[entry + 46 :],
        "directory outside": data[: end + 16] + b"\xff\xff\xff\x7f" + data[end + 20 :],
        "unknown method": data[: entry + 10] + b"\x63\0" + data[entry + 12 :],
        "encrypted": data[: entry + 8] + b"\1\0" + data[entry + 10 :],
        "cut off": data[: end + 10],
        "end alone": data[end:],
        "content": data[:3000] + bytes(3000) + data[6000:],
    }


@pytest.mark.parametrize("kind", damaged(b"PK\1\2" + bytes(50) + b"PK\5\6"))
def test_zip_with_a_damaged_directory_is_one_line(
    kind: str, tiny_bundle: Path, zipped: Callable[..., Path]
) -> None:
    path = zipped(tiny_bundle)
    path.write_bytes(damaged(path.read_bytes())[kind])
    with pytest.raises(BundleError) as caught:
        Bundle.open(path)
    assert str(path) in str(caught.value)


def test_zip_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("deep/er/manifest.json", "{}")
    with pytest.raises(BundleError, match=r"it has 0 manifest\.json at its top"):
        Bundle.open(tmp_path / "a.zip")


@pytest.mark.parametrize("graph", ["mel_decoder.onnx", "weights.safetensors"])
def test_changed_link_is_refused(graph: str, linked: Path) -> None:
    flip(linked / graph)
    with pytest.raises(BundleError, match=f"{graph} of bundle .* has the checksum"):
        Bundle.open(linked)


def test_links_as_in_the_cache_of_the_hub_are_opened(linked: Path) -> None:
    echoes = Echoes.load(linked, device="cpu", threads=1)
    echoes.prepare("image_encoder", "decode_audio_step", "vocoder")


@pytest.fixture
def linked(copy: Path, tmp_path: Path) -> Path:
    """Every file is a link to one elsewhere that is named by its content."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for i, file in enumerate(sorted(copy.iterdir())):
        file.rename(blobs / f"{i:064x}")
        file.symlink_to(f"../blobs/{i:064x}")
    return copy


def test_graph_that_changed_after_it_was_verified_is_refused(copy: Path) -> None:
    bundle = Bundle.open(copy)
    (copy / "mel_decoder.onnx").write_bytes((copy / "vocoder.onnx").read_bytes())
    with pytest.raises(BundleError, match=r"mel_decoder\.onnx of bundle .* has the checksum"):
        bundle.graph_path("mel_decoder")


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
