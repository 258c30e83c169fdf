"""Digests of what a result was made from: they identify the result in the exposure's record.

A worker computes them, because the files may lie on a share that hangs, and only a worker can be left behind then.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from blake3 import blake3

from preprocess.exposure.acquisition import Acquisition
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings

_DECIDES_NOTHING = ("device", "device_memory_gb", "threads")
"""Settings that say where and how fast a movie is aligned."""
_NOT_USED = ("defocus_angstrom", "sources")
"""Parts of the acquisition that no output is computed from."""


def with_digests(processed: ProcessedMovie, settings: AlignmentSettings) -> ProcessedMovie:
    """Return the result with the digests of its gain reference and its settings."""
    return replace(
        processed,
        gain_digest=digest_of(settings.gain.path),
        settings_digest=settings_digest(settings, processed.acquisition),
    )


def settings_digest(settings: AlignmentSettings, acquisition: Acquisition) -> str:
    """Return the BLAKE3 digest of everything but the movie that decides the result, in hex.

    That is: the settings, the content of the gain reference and of the defect file, and the acquisition that was used,
    whatever its source. Device, number of threads and software version are not part of it.
    """
    chosen: dict[str, Any] = asdict(settings)
    for name in _DECIDES_NOTHING:
        del chosen[name]
    chosen["gain"]["path"] = digest_of(settings.gain.path)
    chosen["defects"]["path"] = digest_of(settings.defects.path)
    known = {name: value for name, value in asdict(acquisition).items() if name not in _NOT_USED}
    text = json.dumps({"settings": chosen, "acquisition": known}, sort_keys=True, separators=(",", ":"))
    return blake3(text.encode("utf-8")).hexdigest()


def digest_of(path: Path | None) -> str | None:
    """Return the BLAKE3 digest of a whole file in hex, as `b3sum` prints it; None if there is none or it is gone."""
    if path is None:
        return None
    try:
        status = path.stat()
        return _digest(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError:
        return None


@lru_cache(maxsize=8)
def _digest(path: Path, _size_bytes: int, _mtime_ns: int, _inode: int) -> str:
    """Return the digest of a file that has not changed since it was read."""
    return blake3().update_mmap(path).hexdigest()
