"""Names movies and their references in RELION's motion files as a user lays them beside the lists.

An agent's motion file names the movie without its folder, so that two movies of one name would meet. Here it stands
with all its folders: `movies/GridSquare_1/a.tiff`, where `movies` is a folder, or a link, that the user makes in the
project. Behind it stands the source's name where an agent was given one (`watch --source`). Gain reference and defect
file stand in `movies` too if they lie in the source, else below `references`, by their path there.

An agent's file names no gain reference that RELION would use otherwise, as one in DM4 or one that was turned. Then it
is `references/gain_DIGEST.mrc`, which a user makes (`cryoferry gain convert`): RELION stops where it is missing, and
would polish uncorrected frames if none were named.
"""

from __future__ import annotations

import re
from pathlib import Path

from api.registrars.star import quoted
from transfer.disk.files import make_file
from transfer.wire.exposure_record import ExposureRecord

MOVIES, REFERENCES = "movies", "references"
_ABSOLUTE = re.compile(r"(?:/|[A-Za-z]:[\\/])")
_LABEL = rb"^(_%s[ \t]+)[^\n]*$"


def movie_of(record: ExposureRecord) -> str:
    """Return the path of an exposure's movie relative to the project."""
    return _in_source(record, record.movie)


def write_motion_star(committed: Path, target: Path, record: ExposureRecord) -> None:
    """Copy a motion file, with the names of its movie, gain reference and defect file.

    Raises
    ------
    OSError
    """
    known = record.provenance
    names = {
        b"rlnMicrographMovieName": movie_of(record),
        b"rlnMicrographGainName": _reference(record, known.gain_path if known else None),
        b"rlnMicrographDefectFile": _reference(record, known.defects_path if known else None),
    }
    content = committed.read_bytes()
    for label, name in names.items():
        if name is not None:
            line = rb"\g<1>" + quoted(name).encode().replace(b"\\", rb"\\")
            content = re.sub(_LABEL % label, line, content, count=1, flags=re.MULTILINE)

    if known and known.gain_path is not None and known.gain_digest is not None:
        content = _with_gain(content, f"{REFERENCES}/gain_{known.gain_digest[:16]}.mrc")

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    make_file(target, write)


def _with_gain(content: bytes, name: str) -> bytes:
    """Return a motion file that names a gain reference, this one if it names none."""
    if b"\n_rlnMicrographGainName" in content:
        return content
    line = rb"\g<0>" + f"\n_rlnMicrographGainName {name}".encode()
    return re.sub(_LABEL % b"rlnMicrographMovieName", line, content, count=1, flags=re.MULTILINE)


def _reference(record: ExposureRecord, path: str | None) -> str | None:
    """Return the path of a reference relative to the project; a drive's colon would be a format for RELION."""
    if path is None or not _ABSOLUTE.match(path):
        return None if path is None else _in_source(record, path)
    return f"{REFERENCES}/{path.replace(':', '').replace(chr(92), '/').lstrip('/')}"


def _in_source(record: ExposureRecord, path: str) -> str:
    source = record.provenance.source if record.provenance else None
    return "/".join((MOVIES, *([source] if source else []), path))
