"""What `cryoferry bench transfer` does: two ends, files, runs, summary, tables, JSON and picture."""

from __future__ import annotations

import json as json_text
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import typer
from rich.console import Console

from benchmarks.errors import NothingToMeasure
from benchmarks.machine import machine
from benchmarks.transfer.paths import congestion, iperf_limit
from benchmarks.transfer.paths.catalogue import OURS, Missing, chosen, own_paths, peers
from benchmarks.transfer.paths.contract import TransferPath
from benchmarks.transfer.paths.cryoferry_path import CryoferryReceiver
from benchmarks.transfer.paths.emulation import emulated
from benchmarks.transfer.paths.ends import End
from benchmarks.transfer.paths.link import Link, parse_link
from benchmarks.transfer.paths.payload import TINY, check_room, make_payload, parse_payload
from benchmarks.transfer.paths.runs import TransferRun, TransferRuns
from benchmarks.transfer.plot import write_plot
from benchmarks.transfer.summary import Group, grouped, sentence
from benchmarks.transfer.tables import tables
from preprocess.outputs.whole_files import write_text

SOME_FAILED = 3
WIDTH_COLUMNS = 118
LOOPBACK = "127.0.0.1"
EMULATED_DEFAULTS = ("cubic", "bbr")
"""What both emulated hosts have as their default, in turn: the default of most hosts today, and BBR."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferPlan:
    """What a user wants measured."""

    files: tuple[str, ...]
    paths: tuple[str, ...]
    to: str | None
    receiver_options: tuple[str, ...]
    session: str
    ssh: str | None
    open_servers: bool
    first_port: int
    emulate: str | None
    repeats: int
    cap_s: float
    work: Path | None
    out: Path


@dataclass(frozen=True, slots=True)
class _Field:
    """The ends, and what can be run between them."""

    near: End
    far: End
    paths: list[TransferPath]
    missing: list[Missing]
    congestion_controls: tuple[str | None, ...]


def run_transfer_benchmark(plan: TransferPlan, *, dry_run: bool, json: bool) -> int:
    """Measure, print and write the results; return the exit code.

    Raises
    ------
    NothingToMeasure
        No such path, link or number of files; or this machine cannot do it.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    link = parse_link(plan.emulate) if plan.emulate is not None else None
    sizes = [(text, *parse_payload(text)) for text in plan.files]
    at_first = machine()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cryoferry-bench-", dir=_work(plan))))
        work.chmod(0o755)  # some servers give up root's rights
        check_room(work, max(count * size for _, count, size in sizes))
        field = stack.enter_context(_field(plan, link, work))
        for one in field.missing:
            console.print(f"{one.name} is left out: it lacks {one.lacks}; {one.how_to_get}", markup=False)
        if not field.paths:
            raise NothingToMeasure("no path can be run here", hint="The lines above say what each path lacks.")
        if dry_run:
            _show_plan(plan, link, field, json=json)
            return 0
        runs, limits = _measure(plan, field, sizes, work, console)
    groups = grouped(runs, limits)
    facts = _facts(plan, link, field, at_first, groups, runs)
    written = _write(plan.out, facts, groups)
    _show_results(plan, link, at_first, groups, written, json=json)
    if json:
        typer.echo(json_text.dumps(facts, ensure_ascii=False))
    return SOME_FAILED if any(run.failure is not None or run.digests_match is False for run in runs) else 0


def _work(plan: TransferPlan) -> Path | None:
    """Return where files are kept: in memory if there is such a folder, so that no disk is measured."""
    if plan.work is not None:
        if not plan.work.is_dir():
            raise NothingToMeasure(f"{plan.work} is no folder", hint="Make it, or leave --work out.")
        return plan.work.resolve()
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder is made in it
    return memory if memory.is_dir() else None


@contextmanager
def _field(plan: TransferPlan, link: Link | None, work: Path) -> Iterator[_Field]:
    if link is not None:
        with emulated(link, work) as (near, far), congestion.allowed_in_namespaces(EMULATED_DEFAULTS):
            families = own_paths(near, emulated=True) | peers()
            here, missing = chosen(families, plan.paths, near, far, open_servers=True)
            yield _Field(near, far, here, missing, EMULATED_DEFAULTS)
        return
    near = End(LOOPBACK, str(work))
    if plan.to is None:
        far = near
        families, open_servers = own_paths(near, emulated=False) | peers(), True
    else:
        receiver = CryoferryReceiver(plan.to, plan.session, plan.receiver_options)
        families = {OURS: [receiver], **(peers() if plan.ssh is not None else {})}
        far = _over_ssh(plan.ssh) if plan.ssh is not None else End(urlsplit(plan.to).hostname or "", str(work))
        open_servers = plan.open_servers
    try:
        here, missing = chosen(families, plan.paths, near, far, open_servers=open_servers)
        yield _Field(near, far, here, missing, (congestion.default_of(near),))
    finally:
        if far.is_remote:
            far.run("rm", "-rf", far.work)


def _over_ssh(host: str) -> End:
    """Return the far end that `ssh HOST` reaches, with a fresh folder there."""
    settings = subprocess.run(["ssh", "-G", host], capture_output=True, text=True, check=False).stdout.splitlines()
    address = next((line.partition(" ")[2] for line in settings if line.startswith("hostname ")), host)
    prefix = ("ssh", "-o", "BatchMode=yes", host)
    work = End(address, "", prefix, is_remote=True).run("mktemp", "-d", "-t", "cryoferry-bench.XXXXXXXX").strip()
    return End(address, work, prefix, is_remote=True)


def _measure(
    plan: TransferPlan, field: _Field, sizes: Sequence[tuple[str, int, int]], work: Path, console: Console
) -> tuple[list[TransferRun], dict[str | None, float | None]]:
    def tell(text: str) -> None:
        console.print(f"  {text}", markup=False)

    logs = work / "logs"
    logs.mkdir()
    first_port = plan.first_port if field.far.is_remote else None
    runner = TransferRuns(
        field.near, field.far, logs, repeats=plan.repeats, cap_s=plan.cap_s, first_port=first_port, tell=tell
    )
    tiny = make_payload(TINY, work / TINY, 1, 1000)
    runs: list[TransferRun] = []
    limits: dict[str | None, float | None] = {}
    for control in field.congestion_controls:
        if field.near.prefix:
            congestion.use(str(control), (field.near, field.far))
        limits[control] = _limit(plan, field, runner, console)
        for label, count, size_bytes in sizes:
            console.print(f"{label}, {_under(control)}", style="dim", markup=False)
            payload = make_payload(label, work / "files", count, size_bytes)
            runs += runner.on(field.paths, payload, tiny, control)
            shutil.rmtree(payload.folder)
    return runs, limits


def _limit(plan: TransferPlan, field: _Field, runner: TransferRuns, console: Console) -> float | None:
    """Return what iperf3 gets, if it is wanted and can be run."""
    if plan.paths and iperf_limit.PROGRAM not in plan.paths:
        return None
    if plan.to is not None and not (field.far.is_remote and plan.open_servers):
        return None
    if any(end.find(iperf_limit.PROGRAM) is None for end in (field.near, field.far)):
        console.print(f"iperf3 is left out: it is not at both ends; {iperf_limit.HOW_TO_GET}", markup=False)
        return None
    return runner.limit(iperf_limit.Limit())


def _under(control: str | None) -> str:
    return f"both hosts' default congestion control {control}" if control else "the hosts' own congestion control"


def _facts(
    plan: TransferPlan,
    link: Link | None,
    field: _Field,
    at_first: dict[str, Any],
    groups: Sequence[Group],
    runs: Sequence[TransferRun],
) -> dict[str, Any]:
    return {
        "machine": at_first,
        "link": _link_name(plan, link),
        "repeats": plan.repeats,
        "stopped_after_s": plan.cap_s,
        "advice": sentence(groups),
        "missing": {one.name: f"lacks {one.lacks}; {one.how_to_get}" for one in field.missing},
        "groups": [group.as_object() for group in groups],
        "runs": [run.as_object() for run in runs],
    }


def _link_name(plan: TransferPlan, link: Link | None) -> str:
    if link is not None:
        return f"emulated, {link}"
    return f"to {plan.to}" if plan.to is not None else "loopback"


def _write(out: Path, facts: dict[str, Any], groups: Sequence[Group]) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    path = out / "transfer.json"
    write_text(path, json_text.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    picture = write_plot(groups, out / "transfer.png")
    return [path, picture] if picture is not None else [path]


def _show_plan(plan: TransferPlan, link: Link | None, field: _Field, *, json: bool) -> None:
    wanted = {
        "link": _link_name(plan, link),
        "files": list(plan.files),
        "paths": [path.name for path in field.paths],
        "congestion_controls": list(field.congestion_controls),
        "repeats": plan.repeats,
    }
    if json:
        typer.echo(json_text.dumps(wanted, ensure_ascii=False))
        return
    for name, value in wanted.items():
        typer.echo(f"{name}: {value}")


def _show_results(
    plan: TransferPlan,
    link: Link | None,
    at_first: dict[str, Any],
    groups: Sequence[Group],
    written: Sequence[Path],
    *,
    json: bool,
) -> None:
    console = Console(stderr=json, highlight=False)  # with --json, stdout is for the object
    if not console.is_terminal or console.width > WIDTH_COLUMNS:
        console.width = WIDTH_COLUMNS
    console.print(
        f"\n{at_first['processor']}, {at_first['cores']} cores; {_link_name(plan, link)}; "
        f"load at the beginning {at_first['load_1_min']:g}",
        markup=False,
    )
    for group, table in zip(groups, tables(groups), strict=True):
        console.print()
        console.print(table)
        for row in group.rows:
            if row.failure is not None:
                console.print(f"{row.path}: {row.failure}", style="red", markup=False, soft_wrap=True)
    console.print(f"\n{sentence(groups)}", style="bold", markup=False)
    if plan.to is not None:
        console.print(f"The files lie in the session {plan.session} of {plan.to}; remove them there.", markup=False)
    console.print("\nwrote " + ", ".join(map(str, written)), markup=False, soft_wrap=True)
