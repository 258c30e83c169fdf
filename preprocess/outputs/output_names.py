"""How the outputs of a movie are named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from preprocess.errors import OutputRefused

ENDINGS = {
    "micrograph": ".mrc",
    "micrograph_unweighted": "_noDW.mrc",
    "micrograph_even": "_EVN.mrc",
    "micrograph_odd": "_ODD.mrc",
    "motion_star": ".star",
    "thumbnail": ".png",
    "spectrum": "_spectrum.png",
    "motion_plot": "_motion.png",
    "motion_log": "-Full.log",
    "patch_motion_log": "-Patch-Patch.log",
    "results": ".json",
}
"""What follows the movie's stem in the name of each output, by role, in the order in which they are written."""


def output_paths(movie_path: Path, out_dir: Path) -> dict[str, Path]:
    """Return where each output of a movie goes, by role, whether it will be written or not."""
    return {role: out_dir / f"{movie_path.stem}{ending}" for role, ending in ENDINGS.items()}


def refuse_to_write_over(source: Path, outputs: Iterable[Path]) -> None:
    """Refuse outputs that are a file they would be made from.

    Raises
    ------
    OutputRefused
        One of them is; a movie STEM.mrc aligned into its own folder.
    """
    for path in outputs:
        if path.exists() and source.exists() and path.samefile(source):
            raise OutputRefused(f"{path} is the input {source}: the output would replace it")
