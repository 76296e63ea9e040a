"""The ``echoes-rt`` command."""

import sys
from typing import Any

import click

from echoes_rt.commands.demo import demo
from echoes_rt.commands.fill import continue_, inpaint, vary
from echoes_rt.commands.generate import cogenerate, generate
from echoes_rt.commands.inspect import doctor, info
from echoes_rt.commands.profile import profile
from echoes_rt.commands.terminal import drop_stdout, prepare_process, say
from echoes_rt.errors import EchoesError, one_line


class _Group(click.Group):
    """Turns what a user can mend into one line on stderr and exit status 1, no traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        prepare_process()
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # click itself ends quietly where a pipe is closed
            drop_stdout()
            say(f"Error: {one_line(str(error))}", err=True)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except EchoesError as error:
            raise click.ClickException(str(error)) from error
        except MemoryError as error:
            raise click.ClickException("there is not enough memory for this") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="echoes-rt", prog_name="echoes-rt")
def main() -> None:
    """One picture in, its sound out; one sound in, its picture out."""


for command in (generate, cogenerate, inpaint, continue_, vary, info, doctor, demo, profile):
    main.add_command(command)
