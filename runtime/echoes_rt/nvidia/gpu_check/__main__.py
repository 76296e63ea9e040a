"""The command; its report is a folder to send back."""

import json
from pathlib import Path

import click

from echoes_rt.nvidia.gpu_check import FAILED, SKIPPED, Outcome


@click.command()
@click.option("--bundle", metavar="PATH", help="A bundle's folder or name.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("gpu-check"),
    show_default=True,
    help="Folder of the report.",
)
@click.option("--seconds", default=60.0, show_default=True, help="Of each soak.")
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--build/--no-build",
    default=True,
    show_default=True,
    help="Build TensorRT engines in a temporary copy of a bundle that has none for this machine.",
)
def main(bundle: str | None, out: Path, seconds: float, runs: int, build: bool) -> None:
    """Check echoes-rt on this machine's GPUs and write a report to send back.

    Exit status 1 if a check failed or none could be made; what the machine lacks is skipped, and
    said.
    """
    from echoes_rt.bundle import find_bundle
    from echoes_rt.doctor import examine
    from echoes_rt.errors import EchoesError
    from echoes_rt.install import install_line
    from echoes_rt.nvidia.gpu_check.run import run_checks

    def say(what: str) -> None:
        click.echo(f"gpu-check: {what}", err=True)

    outcomes = []
    try:
        opened = find_bundle(bundle)
        out.mkdir(parents=True, exist_ok=True)
        doctor = examine()
        _write(out / "doctor.json", doctor)
        for outcome in run_checks(opened, seconds, runs, say, is_building=build):
            click.echo(outcome.line)
            outcomes.append(outcome)
            # Written each time: a crash of a driver takes the process with it.
            _write(out / "report.json", [entry.to_dict() for entry in outcomes])
            (out / "report.md").write_text(_page(outcomes, doctor), encoding="utf-8")
    except EchoesError as error:
        raise click.ClickException(" ".join(str(error).split())) from error
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written: {error.strerror}") from error
    skipped = [outcome for outcome in outcomes if outcome.status == SKIPPED]
    failed = [outcome for outcome in outcomes if outcome.status == FAILED]
    click.echo(
        f"{len(outcomes) - len(skipped) - len(failed)} passed, {len(failed)} failed, "
        f"{len(skipped)} SKIPPED; report: {out}"
    )
    is_nothing = len(skipped) == len(outcomes)
    if is_nothing:
        click.echo(
            "NOTHING WAS CHECKED: no GPU of this machine could be used, see above; with an NVIDIA "
            f"driver, {install_line('gpu,engine')} in an environment without onnxruntime"
        )
    if failed or is_nothing:
        raise click.exceptions.Exit(1)


def _page(outcomes: list[Outcome], doctor: dict[str, object]) -> str:
    rows = [f"| {o.status} | {o.device} | {o.check} | {o.said} |" for o in outcomes]
    texts = [f"```\n{o.figures['text']}\n```" for o in outcomes if "text" in o.figures]
    machine = json.dumps(doctor, indent=2)
    parts = [
        "# GPU check",
        "\n".join(["| | device | check | |", "| --- | --- | --- | --- |", *rows]),
        *texts,
        f"## Machine\n\n```json\n{machine}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _write(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
