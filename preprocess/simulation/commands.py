"""`cryoferry simulate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from preprocess.simulation.settings import SimulationSettings

_USUAL = SimulationSettings()
_EXTENSIONS = {"tiff": ".tiff", "mrc": ".mrcs", "eer": ".eer"}
_GAIN_EXTENSIONS = {"tiff": ".mrc", "mrc": ".mrc", "eer": ".gain"}


def simulate(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the movies; made if it is not there.")],
    format: Annotated[Literal["tiff", "mrc", "eer"], typer.Option(help="The movies' format.")] = "tiff",  # noqa: A002 - the option's name
    size: Annotated[str, typer.Option(metavar="N|HxW", help="Frame size in px.")] = str(_USUAL.height),
    frames: Annotated[int, typer.Option(min=1, help="Frames in each movie.")] = _USUAL.frame_count,
    count: Annotated[int, typer.Option(min=1, help="Movies.")] = 1,
    dose_per_frame: Annotated[
        float, typer.Option(metavar="e/Å²", min=0.001, help="Dose of a frame.")
    ] = _USUAL.dose_per_frame_e_per_a2,
    pixel_size: Annotated[
        float, typer.Option(metavar="Å", min=0.1, help="Pixel size on the specimen.")
    ] = _USUAL.pixel_size_angstrom,
    voltage: Annotated[float, typer.Option(metavar="kV", min=60, help="Voltage.")] = _USUAL.voltage_kv,
    motion: Annotated[
        float, typer.Option(metavar="px", min=0, help="Drift of the whole frame from first to last.")
    ] = _USUAL.motion_px,
    local_motion: Annotated[
        float, typer.Option(metavar="px", min=0, help="Local motion, root mean square in the last frame.")
    ] = _USUAL.local_motion_px,
    gain: Annotated[bool, typer.Option("--gain/--no-gain", help="A camera that needs a gain reference.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal movies.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a movie on stdout.")] = False,
) -> None:
    """Make movies with known motion, to try alignment and whole sessions without a microscope.

    Each movie comes with the XML that EPU would write beside it and with STEM_truth.json: its true motion, in px, in
    the orientation in which movies are read. One gain reference serves all movies of a size.
    """
    height, width = _parse_size(size)
    plans = [
        SimulationSettings(
            height=height,
            width=width,
            frame_count=frames,
            pixel_size_angstrom=pixel_size,
            voltage_kv=voltage,
            dose_per_frame_e_per_a2=dose_per_frame,
            motion_px=motion,
            local_motion_px=local_motion,
            gain=gain,
            seed=seed + index,
        )
        for index in range(count)
    ]
    _run(plans, out, format, overwrite=overwrite, dry_run=dry_run, json=json)


def _parse_size(size: str) -> tuple[int, int]:
    parts = size.lower().split("x")
    if len(parts) not in {1, 2} or not all(part.isdigit() and int(part) >= 32 for part in parts):
        raise typer.BadParameter("a number of px, or HEIGHTxWIDTH; each at least 32", param_hint="--size")
    return int(parts[0]), int(parts[-1])


def _run(
    plans: list[SimulationSettings], out: Path, movie_format: str, *, overwrite: bool, dry_run: bool, json: bool
) -> None:
    from rich.console import Console
    from rich.progress import track

    from preprocess.errors import OutputRefused

    planned = [_paths(out, movie_format, settings) for settings in plans]
    if not overwrite:
        taken = [path for paths in planned for path in paths.values() if path.exists() and path != paths.get("gain")]
        if taken:
            raise OutputRefused(f"{taken[0]} exists", hint="Give another --out, or --overwrite.")
    console = Console(stderr=True)
    if not dry_run:
        out.mkdir(parents=True, exist_ok=True)
    pairs = list(zip(plans, planned, strict=True))
    for settings, paths in track(pairs, "Simulating", console=console, disable=not console.is_terminal or dry_run):
        if not dry_run:
            _write(settings, paths, movie_format)
        _say(settings, paths, movie_format, dry_run=dry_run, json=json)


def _paths(out: Path, movie_format: str, settings: SimulationSettings) -> dict[str, Path]:
    stem = f"simulated_{settings.seed:04d}"
    paths = {
        "movie": out / f"{stem}{_EXTENSIONS[movie_format]}",
        "xml": out / f"{stem}.xml",
        "truth": out / f"{stem}_truth.json",
    }
    gain = out / f"gain_{settings.height}x{settings.width}{_GAIN_EXTENSIONS[movie_format]}"
    return paths | ({"gain": gain} if settings.gain else {})


def _write(settings: SimulationSettings, paths: dict[str, Path], movie_format: str) -> None:
    from preprocess.simulation.movie import simulate_movie

    movie = simulate_movie(settings)
    if "gain" in paths:
        movie.write_gain(paths["gain"], movie_format=movie_format)
    movie.write_epu_xml(paths["xml"])
    movie.write_truth(paths["truth"])
    movie.write(paths["movie"])


def _say(settings: SimulationSettings, paths: dict[str, Path], movie_format: str, *, dry_run: bool, json: bool) -> None:
    if not json:
        typer.echo(f"{'would write' if dry_run else 'wrote'} {paths['movie']}", err=True)
        return
    from json import dumps

    said: dict[str, Any] = {"format": movie_format, "dry_run": dry_run, "settings": asdict(settings)}
    typer.echo(dumps({name: str(path) for name, path in paths.items()} | said))
