"""The command `cryoferry demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for everything. An older demo there is replaced.")
    ] = (Path("cryoferry-demo")),
    exposures: Annotated[int, typer.Option(min=1, max=99, metavar="N", help="Number of exposures.")] = 8,
    size: Annotated[int, typer.Option(min=256, max=8192, metavar="PX", help="Height and width of a movie.")] = 1024,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Random seed. Another seed gives other movies and motion.")
    ] = 0,
    scipion: Annotated[
        Path, typer.Option(metavar="DIR", help="Scipion environment, as `make scipion` makes it.")
    ] = Path(".scipion"),
    no_scipion: Annotated[bool, typer.Option("--no-scipion", help="Register in RELION only, not in Scipion.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the receiver and the agent running at the end.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line on stdout. The last one is the summary.")
    ] = False,
) -> None:
    """Show the whole path at work on this machine, within three minutes.

    It starts `cryoferry serve` and `cryoferry watch`, and a simulated microscope that writes TIFF, MRC and EER movies
    with known motion. It shows the state of each exposure, and ends with a summary.
    """
    from agents.demo.plan import DemoPlan
    from agents.demo.run import Demo
    from preprocess.output_folder import refuse_unwritable

    refuse_unwritable(out)
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
