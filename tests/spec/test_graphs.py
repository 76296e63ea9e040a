from echoes_rt.spec.graphs import graph_specs
from echoes_rt.spec.image import ImageSpec
from echoes_rt.spec.mel import MelSpec
from echoes_rt.spec.tokens import Grid, TokenLayout

LAYOUT = TokenLayout(
    image=Grid(height=8, width=8, codebook_size=512),
    audio=Grid(height=5, width=27, codebook_size=1024),
)


def test_outputs_of_one_graph_fit_the_inputs_of_the_next() -> None:
    specs = graph_specs(ImageSpec(), MelSpec(), LAYOUT)
    assert specs["image_encoder"].outputs == specs["image_decoder"].inputs
    assert specs["image_decoder"].outputs == specs["image_encoder"].inputs
    assert specs["mel_encoder"].outputs == specs["mel_decoder"].inputs
    assert specs["mel_decoder"].outputs == specs["mel_encoder"].inputs


def test_step_graph_scores_every_code_of_every_position() -> None:
    step = graph_specs(ImageSpec(), MelSpec(), LAYOUT)["step"]
    assert step.inputs["tokens"].shape == ("batch", 64 + 135)
    assert step.outputs["logits"].shape == ("batch", 64 + 135, 1024)
