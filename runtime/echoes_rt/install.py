"""How what is missing is installed: a command that works here, for there may be no release."""

import json
from importlib import metadata
from urllib.parse import urlsplit
from urllib.request import url2pathname

from echoes_rt.errors import BackendError


def install_line(extra: str) -> str:
    """The pip command that adds an extra to this installation, from where it came from."""
    try:
        text = metadata.distribution("echoes-rt").read_text("direct_url.json")
    except metadata.PackageNotFoundError:  # a checkout that was not installed
        return f'pip install ".[{extra}]" in it'
    if text is None:
        return f'pip install "echoes-rt[{extra}]"'
    origin = json.loads(text)
    url = origin["url"]
    if origin.get("dir_info", {}).get("editable"):
        return f'pip install -e "{url2pathname(urlsplit(url).path)}[{extra}]"'
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    return f'pip install "echoes-rt[{extra}] @ {url}"'


def missing_extra(error: ModuleNotFoundError, extra: str) -> BackendError:
    """What a command says where a package of its extra is not installed; a bug is raised again."""
    package = (error.name or "echoes_rt").partition(".")[0]
    if package.startswith("echoes_"):
        raise error
    size = "; for a CPU alone PyTorch's CPU index has builds of 0.8 GB, others take several"
    return BackendError(
        f"{package} is missing, of the extra {extra}: {install_line(extra)}"
        f"{size if package == 'torch' else ''}"
    )
