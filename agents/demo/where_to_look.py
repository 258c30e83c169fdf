"""The last lines of a demo: where its results are, and which commands to try next."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from rich.text import Text

from agents.demo.plan import SESSION, DemoPlan


def where_to_look(
    plan: DemoPlan, url: str, projects: Mapping[str, str], kept: Mapping[str, int]
) -> Iterator[str | Text]:
    """Yield the last lines of a demo.

    Parameters
    ----------
    url
        The receiver's address.
    projects
        The project of each registrar.
    kept
        The ids of the processes that go on running, by the command's name.
    """
    cryoferry = Path(sys.executable).with_name("cryoferry")
    pictures = plan.receiver / "sessions" / SESSION / "files"
    if project := projects.get("scipion"):
        yield Text.assemble(("Scipion project", "bold"), f"   {project}")
        yield f"  open it         {plan.scipion}/scipion open {project}"
        yield f"  micrographs     {plan.scipion}/scipion pictures {project}"
    if star := star_file(projects):
        yield Text.assemble(("RELION star file", "bold"), f"  {star}")
    yield Text.assemble(("Pictures", "bold"), f"          {pictures}")
    yield f"  look at one     xdg-open {min(pictures.rglob('*_motion.png'), default=pictures)}"
    yield Text.assemble(("Logs", "bold"), f"              {plan.out / 'logs'}")
    yield Text("Watch a folder of your own", "bold")
    if kept:
        pids = " ".join(map(str, kept.values()))
        yield f"  The receiver and the agent of the demo still run. Stop them with: kill {pids}"
    else:
        yield f"  {cryoferry} serve --data {plan.receiver}" + (f" --scipion {plan.scipion} &" if project else " &")
    port = urlsplit(url).port if kept else 8642
    yield f"  {cryoferry} token create --data {plan.receiver} --session mysession --out mysession.token"
    yield f"  {cryoferry} watch MOVIES --to http://127.0.0.1:{port} --session mysession --token-file mysession.token"


def star_file(projects: Mapping[str, str]) -> str | None:
    """Return RELION's STAR file, if that registrar has a project."""
    return f"{projects['relion']}/corrected_micrographs.star" if "relion" in projects else None
