"""The movies of a benchmark: simulated ones, kept in a cache folder, or the user's own."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.alignment.presets import Preset
from benchmarks.errors import NothingToMeasure
from preprocess.errors import AcquisitionUnknown
from preprocess.exposure.acquisition import Acquisition, resolve_acquisition
from preprocess.movies import open_movie
from preprocess.settings import EerSettings
from preprocess.simulation import SimulatedMovie, SimulationSettings, simulate_movie

SIMULATION = 1
"""Number of the simulation's form: another one makes other movies, and those in caches are made again."""

_EXTENSIONS = {"tiff": ".tiff", "eer": ".eer", "mrc": ".mrc"}
_FLOAT16, _INT16 = 12, 1  # modes of MRC


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchMovie:
    """A movie to measure with, and what programs must know of it. `preset` is empty for a user's own.

    `without_float16` is the same movie of 16-bit integers, for programs that cannot read half precision.
    """

    path: Path
    preset: str
    seed: int | None
    gain: Path | None
    height: int
    width: int
    frame_count: int
    pixel_size_angstrom: float
    voltage_kv: float
    dose_per_frame_e_per_a2: float
    hardware_frames_per_frame: int | None = None
    bin_factor: int = 1
    without_float16: Path | None = None
    settings: SimulationSettings | None = None

    @property
    def label(self) -> str:
        """Return what people call it."""
        return self.path.name if self.seed is None else f"{self.preset} {self.seed}"

    @property
    def kind(self) -> tuple[object, ...]:
        """Return what is the same for movies that one command can align together, and cost the same."""
        if self.preset:
            return (self.preset,)
        size = (self.height, self.width, self.frame_count, self.hardware_frames_per_frame)
        acquisition = (self.pixel_size_angstrom, self.voltage_kv, self.dose_per_frame_e_per_a2)
        return (self.path.suffix, self.gain, size, acquisition)

    @property
    def simulated(self) -> SimulatedMovie | None:
        """Return the simulated movie with its truth, made anew at every call; None for a user's own."""
        return None if self.settings is None else simulate_movie(self.settings)


def simulated_movie(preset: Preset, seed: int, cache: Path) -> BenchMovie:
    """Return a preset's movie, made in the cache folder unless it is there already with the same settings."""
    settings = preset.with_seed(seed)
    plan = {
        "simulation": SIMULATION,
        "settings": asdict(settings),
        "format": preset.movie_format,
        "hardware_frames_per_frame": preset.hardware_frames_per_frame,
    }
    key = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:12]
    folder = cache.resolve() / f"{preset.name}_{seed}_{key}"
    path = folder / f"{preset.name.partition('@')[0]}_{seed}{_EXTENSIONS[preset.movie_format]}"
    gain = folder / ("gain.gain" if preset.movie_format == "eer" else "gain.mrc")
    if not (folder / "truth.json").exists():
        _make(settings, preset, path, gain)
    return BenchMovie(
        path=path,
        preset=preset.name,
        seed=seed,
        gain=gain if settings.gain else None,
        height=settings.height,
        width=settings.width,
        frame_count=settings.frame_count,
        pixel_size_angstrom=settings.pixel_size_angstrom,
        voltage_kv=settings.voltage_kv,
        dose_per_frame_e_per_a2=settings.dose_per_frame_e_per_a2,
        hardware_frames_per_frame=preset.hardware_frames_per_frame if preset.movie_format == "eer" else None,
        bin_factor=preset.bin_factor,
        without_float16=_in_integers(path) if preset.movie_format == "mrc" else None,
        settings=settings,
    )


def _in_integers(path: Path) -> Path:
    return path.with_name(f"{path.stem}_int16.mrc")


def _make(settings: SimulationSettings, preset: Preset, path: Path, gain: Path) -> None:
    """Write movie, gain reference and, last, the truth; if it exists, all three are complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    movie = simulate_movie(settings)
    partial = path.with_name(f"{os.getpid()}_{path.name}")
    try:
        if preset.movie_format == "eer":
            movie.write(partial, hardware_frames_per_frame=preset.hardware_frames_per_frame)
        elif preset.movie_format == "mrc":
            movie.write(partial, mode=_INT16)
            partial.replace(_in_integers(path))
            movie.write(partial, mode=_FLOAT16)
        else:
            movie.write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    if settings.gain:
        movie.write_gain(gain, movie_format=preset.movie_format)
    movie.write_truth(path.with_name("truth.json"))


def own_movie(path: Path, *, gain: Path | None, flags: Acquisition, eer_frames: int | None) -> BenchMovie:
    """Return a user's own movie with what flags, sidecars and its header say about it.

    Raises
    ------
    NothingToMeasure
        There is no such file.
    AcquisitionUnknown
        Pixel size, voltage or dose is unknown.
    """
    if not path.is_file():
        raise NothingToMeasure(f"{path}: no such movie")
    movie = open_movie(path, eer=EerSettings(hardware_frames_per_frame=eer_frames))
    known = resolve_acquisition(movie, flags=flags)
    dose = known.dose_per_frame_e_per_a2
    if dose is None and known.total_dose_e_per_a2 is not None:
        dose = known.total_dose_e_per_a2 / movie.frame_count
    if known.pixel_size_angstrom is None or known.voltage_kv is None or dose is None:
        raise AcquisitionUnknown(
            f"{path}: pixel size, voltage or dose is unknown",
            hint="Give --pixel-size, --voltage and --dose-per-frame.",
        )
    return BenchMovie(
        path=path.resolve(),
        preset="",
        seed=None,
        gain=None if gain is None else gain.resolve(),
        height=movie.height,
        width=movie.width,
        frame_count=movie.frame_count,
        pixel_size_angstrom=known.pixel_size_angstrom,
        voltage_kv=known.voltage_kv,
        dose_per_frame_e_per_a2=dose,
        hardware_frames_per_frame=movie.hardware_frames_per_frame if movie.format == "eer" else None,
    )
