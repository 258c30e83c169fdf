"""`cryoferry demo`: the whole path on one machine, from a simulated microscope to a live registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where everything goes; an older demo there is replaced.")
    ] = (Path("cryoferry-demo")),
    exposures: Annotated[int, typer.Option(min=1, max=99, help="How many exposures the microscope takes.")] = 8,
    size: Annotated[int, typer.Option(min=256, max=8192, metavar="PX", help="Height and width of a movie.")] = 1024,
    seed: Annotated[int, typer.Option(help="Another seed: other movies, other motion.")] = 0,
    scipion: Annotated[
        Path, typer.Option(metavar="DIR", help="Scipion's environment, as `make scipion` makes it.")
    ] = Path(".scipion"),
    no_scipion: Annotated[bool, typer.Option("--no-scipion", help="Register in RELION's star file alone.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave receiver and agent running at the end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; the last object tells everything.")] = False,
) -> None:
    """See the whole path work, on this machine, within three minutes.

    Starts `cryoferry serve` and `cryoferry watch` as real processes and a simulated microscope that writes growing
    TIFF, MRC and EER movies with known motion; shows each exposure on its way, and ends with what became of it.
    """
    from agents.demo.plan import DemoPlan
    from agents.demo.run import Demo

    plan = DemoPlan(
        out=out.absolute(),
        exposures=exposures,
        size_px=size,
        seed=seed,
        scipion=None if no_scipion else scipion.absolute(),
        keep=keep,
        as_json=json,
    )
    if not Demo(plan).run():
        raise typer.Exit(3)
