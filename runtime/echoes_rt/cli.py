"""The ``echoes-rt`` command."""

import os

import click

from echoes_rt.commands.demo import demo
from echoes_rt.commands.fill import continue_, inpaint, vary
from echoes_rt.commands.generate import cogenerate, generate
from echoes_rt.commands.inspect import doctor, info
from echoes_rt.commands.profile import profile
from echoes_rt.cpu_limit import BLAS_VARIABLES, thread_limit
from echoes_rt.errors import EchoesError


class _Group(click.Group):
    """Turns an EchoesError into one line on stderr and exit status 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except EchoesError as error:
            raise click.ClickException(" ".join(str(error).split())) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="echoes-rt", prog_name="echoes-rt")
def main() -> None:
    """One picture in, its sound out; one sound in, its picture out."""
    limit = thread_limit()
    if limit is not None:  # numpy's library starts its threads when numpy is imported
        for name in BLAS_VARIABLES:
            os.environ.setdefault(name, str(limit))


for command in (generate, cogenerate, inpaint, continue_, vary, info, doctor, demo, profile):
    main.add_command(command)
