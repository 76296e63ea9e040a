"""``python native_decoding.py BUILD ORT BUNDLE LIBRARY...``: what decodings by the C API count.

A line of JSON each: the first, the same again, the same in another thread, and one of another model
that records nothing.
"""

import ctypes
import json
import struct
import sys
import threading
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "cpp"))

from native import Native

COUNTS = ("launches", "to_device", "to_host", "recorded", "replayed")


def decode(model: Native) -> None:
    sizes = [
        getattr(model.info, f"{of}_rows") * getattr(model.info, f"{of}_columns")
        for of in ("audio", "image")
    ]
    tokens = np.full(sizes[0], model.info.audio_codebook_size, np.int32)
    # Alone, so that no other graph is counted.
    model.decode_tokens("audio", tokens, None, model.options(steps=3)[0])


def main(build: str, ort: str, bundle: str, *libraries: str) -> None:
    loaded = {Path(p).name: ctypes.CDLL(p, ctypes.RTLD_GLOBAL) for p in libraries}

    def count(name: str) -> ctypes.c_int:
        return ctypes.c_int.in_dll(loaded["libcudart.so.13"], f"fake_{name}")

    def tell() -> None:
        sys.stdout.write(json.dumps({name: count(name).value for name in COUNTS}) + "\n")
        for name in COUNTS:
            count(name).value = 0
        if count("mistakes").value:
            raise SystemExit("a copy or a wait was wrong")

    def opened() -> Native:
        library = Path(build) / "libechoes_rt.so"
        count("number").value = struct.unpack("i", struct.pack("f", 10))[0]  # what tries CUDA wants
        model = Native(library, Path(bundle), device=b"cuda", onnxruntime_path=ort.encode())
        count("number").value = 0
        return model

    count("gives_zeroes").value = 1
    model = opened()
    decode(model)
    tell()
    decode(model)
    tell()
    thread = threading.Thread(target=decode, args=(model,))
    thread.start()
    thread.join()
    tell()
    other = opened()
    count("refuses_recording").value = 1
    decode(other)
    tell()
    if b"decode_audio_step" not in other.now().unrecorded:
        raise SystemExit(f"not told: {other.now().unrecorded}")


if __name__ == "__main__":
    main(*sys.argv[1:])
