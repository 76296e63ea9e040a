"""python -m echoes_rt is echoes-rt."""

from echoes_rt.cli import main

main(prog_name="echoes-rt")
