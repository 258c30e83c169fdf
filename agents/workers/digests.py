"""Digests of movies, and of what else a result was made from: they identify an exposure and its result.

A worker computes them, because the files may lie on a share that hangs, and only a worker can be left behind then.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from blake3 import blake3

from agents.workers.contract import DigestJob, MovieDigests
from preprocess.exposure.acquisition import Acquisition
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings
from preprocess.sidecars import SidecarUnreadableError, content_about, is_shared
from transfer.disk.files import open_to_read, read_into_at
from transfer.wire.exposure_claim import samples

_BLOCK_BYTES = 8 << 20
_DECIDES_NOTHING = ("device", "device_memory_gb", "threads")
"""Settings that say where and how fast a movie is aligned."""
_HOW_CHOSEN = ("required", "orientation", "found_by", "not_found")
_NOT_USED = ("defocus_angstrom", "sources")
"""Parts of the acquisition that no output is computed from."""


def digests_of_movie(job: DigestJob) -> MovieDigests:
    """Return the digests of a movie that are wanted.

    Raises
    ------
    OSError
        The movie cannot be read, or became shorter meanwhile.
    """
    descriptor = open_to_read(Path(job.movie))
    try:
        size_bytes = os.fstat(descriptor).st_size
        sampled = blake3(size_bytes.to_bytes(8, "little"))
        for sample in samples(size_bytes):
            _update(sampled, descriptor, sample)
        whole = _whole(descriptor, size_bytes) if job.is_whole else None
    finally:
        os.close(descriptor)
    return MovieDigests(sampled_digest=sampled.hexdigest(), movie_digest=whole)


def movie_digest(movie: Path) -> str:
    """Return the BLAKE3 digest of a movie, or another file, in hex, as `b3sum` prints it; it is read once.

    Raises
    ------
    OSError
    """
    descriptor = open_to_read(movie)
    try:
        return _whole(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _whole(descriptor: int, size_bytes: int) -> str:
    digest = blake3(max_threads=blake3.AUTO)
    _update(digest, descriptor, range(size_bytes))
    return digest.hexdigest()


def _update(digest: blake3, descriptor: int, wanted: range) -> None:
    """Hash a range of a file. It is read, not mapped: a share that drops out must raise, not kill the process."""
    buffer, begin = memoryview(bytearray(min(_BLOCK_BYTES, len(wanted)) or 1)), wanted.start
    while begin < wanted.stop:
        read_bytes = read_into_at(descriptor, buffer[: min(len(buffer), wanted.stop - begin)], begin)
        if not read_bytes:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        digest.update(buffer[:read_bytes])
        begin += read_bytes


def with_digests(
    processed: ProcessedMovie,
    settings: AlignmentSettings,
    digest_of_movie: str | None = None,
    sidecars: Iterable[Path] = (),
    movie: Path | None = None,
) -> ProcessedMovie:
    """Return the result with the digest of its settings, and with that of its movie; it has the gain reference's."""
    if (use := processed.gain) is not None:
        lies = replace(settings.gain, rotate_degrees=use.rotate_degrees, flip=use.flip, operation=use.operation)
        settings = replace(settings, gain=lies)
    return replace(
        processed,
        movie_digest=digest_of_movie,
        settings_digest=settings_digest(settings, processed.acquisition, sidecars, movie),
    )


def settings_digest(
    settings: AlignmentSettings, acquisition: Acquisition, sidecars: Iterable[Path] = (), movie: Path | None = None
) -> str:
    """Return the BLAKE3 digest of everything but the movie that decides the result, in hex.

    That is: the settings, with the orientation of the gain reference that was used, the content of the gain reference,
    of the defect file and of the sidecars, which go into the record too, and the acquisition that was used, whatever
    its source. Of a sidecar about many movies it is what that says about this one. Device, number of threads and
    software version are not part of it.
    """
    chosen: dict[str, Any] = asdict(settings)
    for name in _DECIDES_NOTHING:
        del chosen[name]
    for name in _HOW_CHOSEN:
        del chosen["gain"][name]
    chosen["gain"]["path"] = digest_of(settings.gain.path)
    chosen["defects"]["path"] = digest_of(settings.defects.path)
    known = {name: value for name, value in asdict(acquisition).items() if name not in _NOT_USED}
    decides: dict[str, Any] = {"settings": chosen, "acquisition": known}
    if described := [digest for each in sidecars if (digest := _digest_of_sidecar(each, movie)) is not None]:
        decides["sidecars"] = described
    text = json.dumps(decides, sort_keys=True, separators=(",", ":"))
    return blake3(text.encode("utf-8")).hexdigest()


def _digest_of_sidecar(sidecar: Path, movie: Path | None) -> str | None:
    if movie is None or not is_shared(sidecar, movie):
        return digest_of(sidecar)
    try:
        said = content_about(sidecar, movie)
    except SidecarUnreadableError:
        return None
    return None if said is None else blake3(said).hexdigest()


def digest_of(path: Path | None) -> str | None:
    """Return the BLAKE3 digest of a whole file in hex, as `b3sum` prints it; None if there is none or it is gone.

    Raises
    ------
    OSError
        The file cannot be read now.
    """
    if path is None:
        return None
    try:
        status = path.stat()
        return _digest(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=8)
def _digest(path: Path, _size_bytes: int, _mtime_ns: int, _inode: int) -> str:
    """Return the digest of a file that has not changed since it was read."""
    return movie_digest(path)
