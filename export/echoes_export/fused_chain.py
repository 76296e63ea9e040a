"""From a picture to its sound as one ONNX graph: the graphs of the parts, one behind the other."""

import onnx

from echoes_export.nodes import Nodes
from echoes_rt.spec.graphs import GraphSpec
from echoes_rt.spec.tokens import TokenLayout


def image_to_audio_graph(
    parts: dict[str, onnx.ModelProto], signature: GraphSpec, layout: TokenLayout
) -> onnx.ModelProto:
    """Joins ``image_encoder``, ``decode``, ``mel_decoder`` and ``vocoder`` of ``parts``."""
    nodes = Nodes("chain.", {})

    def add(part: str, names: dict[str, str]) -> None:
        graph = parts[part].graph
        for tensor in graph.initializer:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = f"{part}.{tensor.name}"
            nodes.constants[copy.name] = copy
        nodes.splice(graph.node, names, f"{part}.")

    add("image_encoder", {"image": "image"})
    codes = "image_encoder.codes"
    batch = nodes.shape(codes, 0)

    def medium(value: int, dtype: str, n_tokens: int) -> str:
        shape = nodes("Concat", batch, nodes.ints(n_tokens), axis=0)
        return nodes("Expand", nodes.constant(value, dtype), shape)

    n_image, n_audio = layout.image.n_tokens, layout.audio.n_tokens
    is_image, is_audio = medium(1, "bool", n_image), medium(1, "bool", n_audio)
    no_image, no_audio = medium(0, "bool", n_image), medium(0, "bool", n_audio)
    unknown = medium(layout.mask_token_id, "int32", n_audio)
    question = {
        "tokens": nodes("Concat", codes, unknown, axis=1),
        "mask": nodes("Concat", no_image, is_audio, axis=1),
        "condition": nodes("Concat", is_image, no_audio, axis=1),
    }
    plan = signature.inputs.keys() - {"image"}
    add("decode", question | {name: name for name in plan})
    start, stop = nodes.ints(n_image), nodes.ints(layout.n_tokens)
    codes = nodes("Slice", "decode.decoded", start, stop, nodes.ints(1), output="codes")
    add("mel_decoder", {"codes": codes})
    add("vocoder", {"mel": "mel_decoder.mel", "waveform": "waveform"})
    return nodes.model("image_to_audio", signature)
