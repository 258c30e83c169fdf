"""How the outputs of a movie are named."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from preprocess.errors import OutputRefused
from preprocess.escaped_names import escaped

ENDINGS = {
    "micrograph": ".mrc",
    "micrograph_unweighted": "_noDW.mrc",
    "micrograph_even": "_EVN.mrc",
    "micrograph_odd": "_ODD.mrc",
    "power_spectrum": "_PS.mrc",
    "motion_star": ".star",
    "thumbnail": ".png",
    "spectrum": "_spectrum.png",
    "motion_plot": "_motion.png",
    "ctf_spectrum": "_ctf.mrc",
    "ctf_plot": "_ctf.png",
    "ctf_profile": "_ctf.csv",
    "ctf_text": "_ctf.txt",
    "ctf_average": "_ctf_avrot.txt",
    "motion_log": "-Full.log",
    "patch_motion_log": "-Patch-Patch.log",
    "results": ".json",
}
"""What follows the movie's stem in the name of each output, by role, in the order in which they are written."""
CTF_RESULTS, CTF_RESULTS_ENDING = "ctf_results", "_ctf.json"
"""Role and ending of what `cryoferry ctf` writes last; `STEM.json` says the same of a movie."""


_ESCAPE = re.compile(r"\\x([0-9A-F]{2})")
LONGEST_STEM_BYTES = 200
"""Of 255: the endings follow, and while a file is written its name is longer."""


def output_stem(movie_path: Path) -> str:
    """Return what the names of a movie's outputs begin with: the movie's stem, which every file system can hold.

    Bytes that are no UTF-8, control characters, and marks that turn the direction of writing are written as `=E9`. Of a
    longer stem the beginning is kept, and `~` with a digest of it all follows.
    """
    stem = movie_path.stem
    name = _ESCAPE.sub(r"=\1", escaped(stem)) if escaped(stem) != stem else stem
    encoded = name.encode()
    if len(encoded) <= LONGEST_STEM_BYTES:
        return name
    digest = hashlib.sha256(stem.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{encoded[: LONGEST_STEM_BYTES - 17].decode(errors='ignore')}~{digest}"


def output_paths(movie_path: Path, out_dir: Path) -> dict[str, Path]:
    """Return where each output of a movie goes, by role, whether it will be written or not."""
    stem = output_stem(movie_path)
    return {role: out_dir / f"{stem}{ending}" for role, ending in ENDINGS.items()}


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
