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
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the movies. It is made if it does not exist.")],
    format: Annotated[Literal["tiff", "mrc", "eer"], typer.Option(help="Format of the movies.")] = "tiff",  # noqa: A002 - the option's name
    size: Annotated[
        str, typer.Option(metavar="N|HxW", help="Size of a frame in px: one number, or HEIGHTxWIDTH.")
    ] = str(_USUAL.height),
    frames: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of frames in each movie.")
    ] = _USUAL.frame_count,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Number of movies.")] = 1,
    dose_per_frame: Annotated[
        float, typer.Option(metavar="e/Å²", min=0.001, help="Dose of one frame.")
    ] = _USUAL.dose_per_frame_e_per_a2,
    pixel_size: Annotated[
        float, typer.Option(metavar="Å", min=0.1, help="Pixel size at the specimen.")
    ] = _USUAL.pixel_size_angstrom,
    voltage: Annotated[
        float, typer.Option(metavar="kV", min=60, help="Voltage of the microscope.")
    ] = _USUAL.voltage_kv,
    motion: Annotated[
        float, typer.Option(metavar="px", min=0, help="Drift of the whole image from the first frame to the last.")
    ] = _USUAL.motion_px,
    local_motion: Annotated[
        float, typer.Option(metavar="px", min=0, help="Local motion in the last frame, root mean square.")
    ] = _USUAL.local_motion_px,
    gain: Annotated[
        bool,
        typer.Option(
            "--gain/--no-gain", help="Simulate a camera that needs a gain reference, and write that reference."
        ),
    ] = True,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed. The same seed gives the same movie.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line on stdout.")] = False,
) -> None:
    """Make movies with known motion, to try alignment without a microscope.

    Beside each movie it writes the XML file that EPU would write, and STEM_truth.json: the true motion in px. All
    movies of one size share a gain reference.
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
        raise typer.BadParameter(
            f"{size!r} is not a size: give a number of px, or HEIGHTxWIDTH, each at least 32", param_hint="--size"
        )
    return int(parts[0]), int(parts[-1])


def _run(
    plans: list[SimulationSettings], out: Path, movie_format: str, *, overwrite: bool, dry_run: bool, json: bool
) -> None:
    from rich.console import Console
    from rich.progress import track

    from preprocess.errors import OutputRefused
    from preprocess.output_folder import refuse_unwritable

    refuse_unwritable(out)
    planned = [_paths(out, movie_format, settings) for settings in plans]
    if not overwrite:
        taken = [path for paths in planned for path in paths.values() if path.exists() and path != paths.get("gain")]
        if taken:
            raise OutputRefused(f"{taken[0]} exists already", hint="Give another --out, or --overwrite to replace it.")
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
        typer.echo(f"{'would write' if dry_run else 'wrote'} {paths['movie']}")
        return
    from json import dumps

    said: dict[str, Any] = {"format": movie_format, "dry_run": dry_run, "settings": asdict(settings)}
    typer.echo(dumps({name: str(path) for name, path in paths.items()} | said))
