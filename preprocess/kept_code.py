"""Chooses the folder in which compiled code is kept between runs.

numba keeps it beside its source or in the user's home, and CuPy in the user's home; both refuse to load if they cannot
write there. A service often can write to neither.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from preprocess.platform import is_ours_alone, user_number

FOLDER_VARIABLE = "NUMBA_CACHE_DIR"
"""numba's variable; a folder that it names is used and no other."""

KERNELS_VARIABLE = "CUPY_CACHE_DIR"
"""CuPy's variable, for compiled CUDA kernels."""

FALLBACK_VARIABLE = "_CRYOFERRY_COMPILED_CODE"
"""Set by the agent for its workers: a folder for the case that none of the usual ones can be written to."""

WHAT_TO_DO = f"Set {FOLDER_VARIABLE} to a folder that this user can write to."

_PACKAGE = Path(__file__).parent
_COMPILED_PARTS = tuple(
    _PACKAGE.joinpath(*part) for part in (("backends", "cpu"), ("ctf",), ("movies",), ("simulation",))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCode:
    """Where compiled code is kept.

    Attributes
    ----------
    folder
        None: beside its source; or nowhere, if `trouble` says why.
    trouble
        Why compiled code cannot be kept; empty if it can.
    """

    folder: Path | None
    trouble: str = ""


def kept_code(environment: Mapping[str, str] = os.environ) -> KeptCode:
    """Return where compiled code can be kept; folders that do not exist yet are made.

    The first of these that can be written to: the folder that NUMBA_CACHE_DIR names (then no other one is tried), the
    folders of the source, systemd's CACHE_DIRECTORY, the user's cache folder, the agent's work folder, and a folder of
    this user's own among the temporary files.
    """
    if named := environment.get(FOLDER_VARIABLE):
        trouble = _why_unusable(Path(named))
        return KeptCode(folder=None if trouble else Path(named), trouble=trouble and f"{FOLDER_VARIABLE}: {trouble}")
    troubles = list(filter(None, (_why_unusable(part / "__pycache__") for part in _COMPILED_PARTS)))[:1]
    if not troubles:
        return KeptCode(folder=None)
    for folder in _other_folders(environment):
        if not (trouble := _why_unusable(folder)):
            return KeptCode(folder=folder)
        troubles.append(trouble)
    return KeptCode(folder=None, trouble="; ".join(troubles))


def kept_kernels(environment: Mapping[str, str] = os.environ) -> KeptCode:
    """Return where compiled CUDA kernels can be kept: as `kept_code`, after the folder that CuPy takes by itself."""
    if named := environment.get(KERNELS_VARIABLE):
        trouble = _why_unusable(Path(named))
        return KeptCode(folder=None if trouble else Path(named), trouble=trouble and f"{KERNELS_VARIABLE}: {trouble}")
    troubles = list[str]()
    for folder in _folders_of_kernels(environment):
        if not (trouble := _why_unusable(folder)):
            return KeptCode(folder=folder)
        troubles.append(trouble)
    return KeptCode(folder=None, trouble="; ".join(troubles))


def _folders_of_kernels(environment: Mapping[str, str]) -> Iterator[Path]:
    with contextlib.suppress(RuntimeError):  # this user has no home
        yield Path("~/.cupy/kernel_cache").expanduser()
    for folder in _other_folders(environment):
        yield folder / "cuda"


def _other_folders(environment: Mapping[str, str]) -> Iterator[Path]:
    if systemd := environment.get("CACHE_DIRECTORY"):
        yield Path(systemd.split(":")[0]) / "compiled"
    if cache := environment.get("XDG_CACHE_HOME"):
        yield Path(cache) / "cryoferry" / "compiled"
    with contextlib.suppress(RuntimeError):  # this user has no home
        yield Path("~/.cache/cryoferry/compiled").expanduser()
    if fallback := environment.get(FALLBACK_VARIABLE):
        yield Path(fallback)
    with contextlib.suppress(OSError):  # no temporary folder can be written to
        yield Path(tempfile.gettempdir()) / f"cryoferry-compiled-{user_number()}"


def _why_unusable(folder: Path) -> str:
    """Return why compiled code cannot be kept in a folder; an empty text if it can. The folder is made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        status = folder.stat()
    except OSError as error:
        return f"nothing can be written to {folder}: {error.strerror or error}"
    if not is_ours_alone(status):
        return f"other users can write to {folder}, and code from it would be run"
    return ""
