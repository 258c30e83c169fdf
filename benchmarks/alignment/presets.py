"""The simulated movies that `cryoferry bench` measures with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.errors import NothingToMeasure
from preprocess.simulation.settings import SimulationSettings

_DEFOCUS_ANGSTROM = (14000.0, 11000.0, 17000.0, 9000.0, 20000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A kind of movie. Seeds differ in specimen, motion, noise and defocus; the camera is one."""

    name: str
    about: str
    settings: SimulationSettings
    movie_format: str = "tiff"
    hardware_frames_per_frame: int = 1
    bin_factor: int = 1

    def with_seed(self, seed: int) -> SimulationSettings:
        """Return the settings of the movie with that seed."""
        return replace(self.settings, seed=seed, defocus_angstrom=_DEFOCUS_ANGSTROM[seed % len(_DEFOCUS_ANGSTROM)])


_FAINT = SimulationSettings(
    height=1024,
    width=1024,
    frame_count=24,
    pixel_size_angstrom=0.83,
    dose_per_frame_e_per_a2=1.2339,
    motion_px=10.0,
    local_motion_px=1.0,
)

_K3 = SimulationSettings(
    height=4092,
    width=5760,
    frame_count=40,
    pixel_size_angstrom=0.83,
    dose_per_frame_e_per_a2=1.2339,
    motion_px=16.0,
    local_motion_px=1.3,
)

_PRESETS = (
    Preset(
        name="small",
        about="1024 x 1024 x 24, 1.6 e/px, a good camera's corner",
        settings=SimulationSettings(
            height=1024,
            width=1024,
            frame_count=24,
            pixel_size_angstrom=1.1,
            dose_per_frame_e_per_a2=1.3223,
            motion_px=8.0,
            local_motion_px=1.0,
        ),
    ),
    Preset(name="faint", about="1024 x 1024 x 24, 0.85 e/px: little signal for a local model", settings=_FAINT),
    Preset(
        name="fainter",
        about="1024 x 1024 x 24, 0.4 e/px: hardly any",
        settings=replace(_FAINT, dose_per_frame_e_per_a2=0.5806),
    ),
    Preset(
        name="doming",
        about="2880 x 2046 x 40, ice that domes: motion that no polynomial expresses",
        settings=SimulationSettings(
            height=2046,
            width=2880,
            frame_count=40,
            pixel_size_angstrom=1.06,
            dose_per_frame_e_per_a2=1.1,
            motion_px=8.0,
            local_motion_px=1.2,
            local_motion_kind="doming",
        ),
    ),
    Preset(
        name="rough",
        about="2048 x 2048 x 32, waves of two cycles with a random walk",
        settings=SimulationSettings(
            height=2048,
            width=2048,
            frame_count=32,
            pixel_size_angstrom=1.1,
            dose_per_frame_e_per_a2=1.3223,
            motion_px=8.0,
            local_motion_px=1.0,
            local_motion_kind="rough",
        ),
    ),
    Preset(name="k3", about="5760 x 4092 x 40 LZW, 0.85 e/px, 0.83 Å", settings=_K3),
    Preset(
        name="k3-super",
        about="11520 x 8184 x 40 LZW, binned by 2",
        settings=replace(_K3, height=8184, width=11520, pixel_size_angstrom=0.415, motion_px=32.0, local_motion_px=2.6),
        bin_factor=2,
    ),
    Preset(
        name="falcon-eer",
        about="4096 x 4096, 320 hardware frames in 40 frames",
        settings=SimulationSettings(
            height=4096,
            width=4096,
            frame_count=40,
            pixel_size_angstrom=0.73,
            dose_per_frame_e_per_a2=1.0,
            motion_px=12.0,
            local_motion_px=1.2,
        ),
        movie_format="eer",
        hardware_frames_per_frame=8,
    ),
    Preset(
        name="falcon-mrc",
        about="4096 x 4096 x 30 MRC, half precision (mode 12)",
        settings=SimulationSettings(
            height=4096,
            width=4096,
            frame_count=30,
            pixel_size_angstrom=0.73,
            dose_per_frame_e_per_a2=1.33,
            motion_px=12.0,
            local_motion_px=1.2,
        ),
        movie_format="mrc",
    ),
)

PRESETS = {preset.name: preset for preset in _PRESETS}


def find_preset(name: str) -> Preset:
    """Return a preset by name; `NAME@HEIGHTxWIDTHxFRAMES` is one of another size.

    Raises
    ------
    NothingToMeasure
        There is no such preset; the text names those that there are.
    """
    base, _, size = name.partition("@")
    preset = PRESETS.get(base)
    if preset is None:
        raise NothingToMeasure(f"no preset is called {base}", hint=f"Presets: {', '.join(PRESETS)}.")
    if not size:
        return preset
    parts = size.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() for part in parts) or min(map(int, parts[:2])) < 32:
        raise NothingToMeasure(f"{name}: a size is HEIGHTxWIDTHxFRAMES", hint=f"For instance {base}@512x512x12.")
    height, width, frames = map(int, parts)
    if frames < 1:
        raise NothingToMeasure(f"{name}: a movie has at least one frame")
    sized = replace(preset.settings, height=height, width=width, frame_count=frames)
    about = f"{width} x {height} px, {frames} frames; otherwise as {base}"
    return replace(preset, name=name, about=about, settings=sized)


def parse_seeds(text: str) -> list[int]:
    """Return the seeds that a text like `0-4` or `1,3,7-9` names, each once.

    Raises
    ------
    NothingToMeasure
        It names none.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise NothingToMeasure(f"--seeds {text}: seeds are numbers and ranges", hint="For instance 0-4 or 0,3,7.")
        seeds |= dict.fromkeys(range(int(first), int(last or first) + 1))
    if not seeds:
        raise NothingToMeasure(f"--seeds {text} names no seed", hint="For instance 0-4.")
    return list(seeds)
