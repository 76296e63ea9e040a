"""The command `echoes-train cost`."""

import click

from echoes_training import PRESET_NAMES


@click.command()
@click.option(
    "--preset",
    type=click.Choice(PRESET_NAMES),
    default="base",
    show_default=True,
    help="Size of the transformer.",
)
@click.option(
    "--clips",
    type=click.IntRange(1),
    default=183_730,  # rows of the split "train" of vggsound.csv (arXiv 2004.14368)
    show_default=True,
    help="Clips of the training set; by default VGGSound's.",
)
@click.option(
    "--pictures", type=click.IntRange(1), default=10, show_default=True, help="Pictures a clip."
)
@click.option(
    "--peak-tflops",
    type=click.FloatRange(0, min_open=True),
    default=989.0,  # NVIDIA H100 SXM, bf16 without sparsity, by its data sheet
    show_default=True,
    help="The GPU's peak, in 10^12 operations a second.",
)
@click.option(
    "--utilization",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.4,
    show_default=True,
    help="Share of the peak that is reached: an assumption, not a measurement.",
)
def cost(preset: str, clips: int, pictures: int, peak_tflops: float, utilization: float) -> None:
    """Estimate the GPU hours of training a transformer.

    The codecs are given; the operations of the training are counted.

    Example: echoes-train cost --preset large --peak-tflops 312
    """
    from echoes_training.cost import count_work
    from echoes_training.presets import PRESETS

    works = count_work(PRESETS[preset], clips, pictures)
    hours = [work.gpu_hours(peak_tflops, utilization) for work in works]
    for work, time in zip(works, hours, strict=True):
        click.echo(
            f"{work.name}: {work.count:,} x {work.flops / 1e9:,.1f} GFLOP "
            f"= {work.total:.3g} FLOP, {time:,.2f} GPU hours"
        )
    click.echo(
        f"estimate: {sum(hours):,.1f} GPU hours at {utilization:.0%} of {peak_tflops:g} TFLOP/s"
    )
