"""The graphs of a bundle as TensorRT builds them; those that decode always have a context."""

import onnx

from echoes_export.graphs.decode_graphs import loop_graph, single_precision
from echoes_export.precision.half_graph import half_graph
from echoes_export.tensorrt.qdq_graph import Scales, qdq_graph
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError
from echoes_rt.format.tokens import MEDIA


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
        name: of docs/format.md.
        precision: fp32, fp16 or int8.
        scales: of what enters the transformer's products, for int8.
        is_emulated: for ONNX Runtime on the CPU (``qdq_graph``).

    Raises:
        BundleError: if the bundle is an int8 one, whose operators TensorRT does not have.
    """
    # The loop is built of the step, so that both say the same.
    part = f"{name}_step" if name.removeprefix("decode_") in MEDIA else name
    if bundle.manifest.graphs[part].precision == "int8":
        raise BundleError(
            f"bundle {bundle.manifest.name} computes in int8 for CPUs, which TensorRT cannot read; "
            "give the bundle that it was quantized from, and --precision int8 if wanted"
        )
    model = onnx.load(bundle.graph_path(part), load_external_data=False)
    if scales is not None and name.startswith(("decode_", "logits_")):
        model = qdq_graph(model, scales, bundle.folder, is_emulated=is_emulated)
    if precision != "fp32":
        model = half_graph(model)
    model = single_precision(model)
    return loop_graph(name, model, is_static=True) if part != name else model
