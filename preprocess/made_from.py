"""What a result is made from: which movie, and what was asked for. Equal ones need no second alignment."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from preprocess.exposure.acquisition import Acquisition
from preprocess.input_files import open_regular
from preprocess.settings import AlignmentSettings
from preprocess.sidecars import SidecarUnreadableError, content_about, find_sidecars, is_shared

DECIDES_NOTHING = ("threads", "device", "device_memory_gb")
"""Settings that say where and how fast a movie is aligned."""
_NOT_OF_THE_GAIN = ("required", "found_by", "not_found")
"""What is chosen about the gain reference and decides nothing: only whether one is there, and how it was found."""
_SAMPLES, _SAMPLE_BYTES = 4, 1 << 16
_BLOCK_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MadeFrom:
    """A movie and a request.

    Attributes
    ----------
    movie_bytes
        Size of the movie's file.
    movie_sample
        SHA-256 of four parts of it, spread from its beginning to its end.
    request
        SHA-256 of all that the user and the files beside the movie say: settings, acquisition, and the contents of gain
        reference, defect file and sidecars.
    """

    movie_bytes: int
    movie_sample: str
    request: str


def made_from(movie: Path, settings: AlignmentSettings, flags: Acquisition, configured: Acquisition) -> MadeFrom:
    """Return what a movie's result would be made from now; a few small parts of the movie are read.

    Raises
    ------
    OSError
        One of the files cannot be read.
    """
    size, sample = file_sample(movie)
    return MadeFrom(movie_bytes=size, movie_sample=sample, request=_request(movie, settings, flags, configured))


def file_sample(path: Path) -> tuple[int, str]:
    """Return the size of a file, and the SHA-256 of four parts of it, spread from its beginning to its end.

    Raises
    ------
    OSError
        It cannot be read.
    """
    size, digest = path.stat().st_size, hashlib.sha256()
    last = max(0, size - _SAMPLE_BYTES)
    with open_regular(path) as file:
        for number in range(_SAMPLES):
            file.seek(last * number // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return size, digest.hexdigest()


def _request(movie: Path, settings: AlignmentSettings, flags: Acquisition, configured: Acquisition) -> str:
    chosen: dict[str, Any] = dataclasses.asdict(settings)
    for name in DECIDES_NOTHING:
        del chosen[name]
    for name in _NOT_OF_THE_GAIN:
        del chosen["gain"][name]
    for part in ("gain", "defects"):
        chosen[part]["path"] = _digest_of(chosen[part]["path"])
    asked = {
        "settings": chosen,
        "flags": dataclasses.asdict(flags),
        "configured": dataclasses.asdict(configured),
        "sidecars": [_digest_of_sidecar(path, movie) for path in find_sidecars(movie)],
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode("utf-8")).hexdigest()


def _digest_of_sidecar(sidecar: Path, movie: Path) -> str | None:
    """Return the digest of a sidecar, or of what one that is about many movies says about this one."""
    if not is_shared(sidecar, movie):
        return _digest_of(sidecar)
    try:
        said = content_about(sidecar, movie)
    except SidecarUnreadableError:
        return None
    return None if said is None else hashlib.sha256(said).hexdigest()


def _digest_of(path: Path | None) -> str | None:
    """Return the SHA-256 of a file; None if there is none, which what needs it says."""
    if not isinstance(path, Path):
        return path
    try:
        status = path.stat()
        return _digest(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except (FileNotFoundError, NotADirectoryError):
        return None


@lru_cache(maxsize=8)
def _digest(path: Path, _size_bytes: int, _mtime_ns: int, _inode: int) -> str:
    """Return the digest of a file that has not changed since it was read."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
