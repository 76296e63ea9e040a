"""How what is missing is installed: a command that works here, for there may be no release."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from echoes_rt.errors import BackendError


def install_line(extra: str) -> str:
    """The pip command that adds an extra to this installation, from where it came from."""
    try:
        origin = _origin()
    except metadata.PackageNotFoundError:  # a checkout that was not installed
        return f'pip install ".[{extra}]" in it'
    if origin is None:
        return f'pip install "echoes-rt[{extra}]"'
    url = origin["url"]
    if origin.get("dir_info", {}).get("editable"):
        return f'pip install -e "{_path(url)}[{extra}]"'
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    return f'pip install "echoes-rt[{extra}] @ {url}"'


def clone() -> Path | None:
    """The folder that pip installed this from, if it was one."""
    try:
        origin = _origin()
    except metadata.PackageNotFoundError:
        return None
    return None if origin is None or "dir_info" not in origin else Path(_path(origin["url"]))


def _origin() -> dict[str, Any] | None:
    """Where pip got this from, as PEP 610 says it; None: from an index."""
    text = metadata.distribution("echoes-rt").read_text("direct_url.json")
    return None if text is None else dict(json.loads(text))


def _path(url: str) -> str:
    return url2pathname(urlsplit(url).path)


def missing_extra(error: ModuleNotFoundError, extra: str) -> BackendError:
    """What a command says where a package of its extra is not installed; a bug is raised again."""
    package = (error.name or "echoes_rt").partition(".")[0]
    if package.startswith("echoes_"):
        raise error
    size = (
        "; without a GPU first set PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu, for "
        "0.8 GB instead of several"
    )
    return BackendError(
        f"this command needs {package}, which the extra {extra} brings: {install_line(extra)}"
        f"{size if package == 'torch' else ''}"
    )
