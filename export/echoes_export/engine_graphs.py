"""The graphs of a bundle as TensorRT builds them: same names, same inputs, same outputs."""

import onnx

from echoes_export.engine_loop import engine_decode_graph
from echoes_export.fused_chain import image_to_audio_graph
from echoes_export.half_graph import half_graph
from echoes_export.qdq_graph import Scales, qdq_graph
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError
from echoes_rt.spec.graphs import graph_specs

CHAIN = ("image_encoder", "step", "mel_decoder", "vocoder")


def engine_graph(
    bundle: Bundle,
    name: str,
    precision: str,
    scales: Scales | None = None,
    *,
    is_emulated: bool = False,
) -> onnx.ModelProto:
    """One graph; weights by reference to the bundle's own weights file.

    Precision is in the graph, since TensorRT's networks are strongly typed.

    Args:
        bundle: of fp32 or fp16 weights.
        name: of spec.graphs.
        precision: fp32, fp16 or int8.
        scales: of what enters the transformer's products, for int8.
        is_emulated: for ONNX Runtime on the CPU (``qdq_graph``).

    Raises:
        BundleError: if the bundle is an int8 one, whose operators TensorRT does not have.
    """
    manifest = bundle.manifest
    specs = graph_specs(manifest.image, manifest.mel, manifest.tokens)

    def part(name: str) -> onnx.ModelProto:
        entry = manifest.graphs[name]
        if entry.precision == "int8":
            raise BundleError(
                f"bundle {manifest.name} computes in int8 for CPUs, which TensorRT cannot read; "
                "give the bundle that it was quantized from, and --precision int8 if wanted"
            )
        model = onnx.load(bundle.graph_path(name), load_external_data=False)
        if name == "step" and scales is not None:
            model = qdq_graph(model, scales, bundle.folder, is_emulated=is_emulated)
        return model if precision == "fp32" else half_graph(model)

    def decode() -> onnx.ModelProto:
        return engine_decode_graph(part("step"), specs["decode"], manifest.tokens)

    if name == "decode":
        return decode()
    if name != "image_to_audio":
        return part(name)
    parts = {name: part(name) for name in CHAIN if name != "step"} | {"decode": decode()}
    return image_to_audio_graph(parts, specs["image_to_audio"], manifest.tokens)
