"""Writes a session's micrographs for cryoSPARC's job "Import Result Group".

A result group is a file `.csg` (YAML), which names the slots of its items and the file `.cs` that has their values: a
table that `numpy.save` writes, with a column for each field of a slot. A path that begins with `>` is relative to the
folder of the `.csg`. This is how cryoSPARC exports results itself; the fields are those of cryosparc-tools
(`cryosparc.models.exposure`), and cryosparc-tools reads the tables in the tests.

The groups hold what RELION's lists hold: `exposures.csg` as `micrographs_ctf.star`, `exposures_all.csg` as
`micrographs_ctf_all.star`, `micrographs.csg` as `corrected_micrographs.star`, without CTFs. Exposure groups are the
optics groups of these lists. Tilts are in none of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from api.registrars import PublishedExposure, SessionPlace
from api.registrars.relion_ctf import WORST_RESOLUTION_ANGSTROM, has_ctf, is_to_go_on_with
from transfer.disk.files import make_file, make_link
from transfer.wire.figures import (
    CTF_ASTIGMATISM_ANGLE,
    CTF_DEFOCUS_U,
    CTF_DEFOCUS_V,
    CTF_FIT_QUALITY,
    CTF_PHASE_SHIFT,
    CTF_RESOLUTION,
)

FOLDER = "cryosparc"
GOOD, WITH_CTF, ALL = "exposures", "exposures_all", "micrographs"
LAYOUT_OF = "v4.4.0"
"""The version of cryoSPARC whose fields these are: the first with beam shifts."""

_MICROGRAPHS = "micrographs"
"""The link in the folder that leads to the session's registered micrographs."""
_BLOB = (
    ("path", "S"),
    ("idx", "<u4"),
    ("shape", "<u4", (2,)),
    ("psize_A", "<f4"),
    ("format", "S"),
    ("is_background_subtracted", "<u4"),
    ("vmin", "<f4"),
    ("vmax", "<f4"),
    ("import_sig", "<u8"),
)
_MICROSCOPE = (
    ("accel_kv", "<f4"),
    ("cs_mm", "<f4"),
    ("total_dose_e_per_A2", "<f4"),
    ("phase_plate", "<u4"),
    ("neg_stain", "<u4"),
    ("exp_group_id", "<u4"),
    ("defect_path", "S"),
    ("beam_shift", "<f4", (2,)),
    ("beam_shift_known", "<u4"),
)
_CTF = (
    ("type", "S"),
    ("path", "S"),
    ("exp_group_id", "<u4"),
    ("accel_kv", "<f4"),
    ("cs_mm", "<f4"),
    ("amp_contrast", "<f4"),
    ("df1_A", "<f4"),
    ("df2_A", "<f4"),
    ("df_angle_rad", "<f4"),
    ("phase_shift_rad", "<f4"),
    ("cross_corr_ctffind4", "<f4"),
    ("ctf_fit_to_A", "<f4"),
    ("fig_of_merit_gctf", "<f4"),
)
_Fields = tuple[tuple[str, str] | tuple[str, str, tuple[int, ...]], ...]
SLOTS: dict[str, tuple[str, _Fields]] = {
    "micrograph_blob": ("micrograph_blob", _BLOB),
    "micrograph_blob_non_dw": ("micrograph_blob", _BLOB),
    "mscope_params": ("mscope_params", _MICROSCOPE),
    "ctf": ("ctf", _CTF),
}
"""The type and the fields of each slot; an optional one is there if all items of a group have it."""

_Values = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class RegisteredFile:
    """A registered micrograph: its path, and the mode of its MRC header."""

    path: Path
    mode: int


@dataclass(frozen=True, slots=True)
class ExposureToImport:
    """An exposure whose micrograph is registered; `group` is the number of its optics group."""

    exposure: PublishedExposure
    group: int
    micrograph: RegisteredFile
    unweighted: RegisteredFile | None = None


class CryosparcExport:
    """The result groups of one session.

    Parameters
    ----------
    place
        The session.
    registered
        The folder that holds all registered micrographs.
    """

    def __init__(self, place: SessionPlace, registered: Path) -> None:
        self._folder = place.folder / FOLDER
        self._registered = registered
        self._title = place.name
        self._items: dict[str, list[dict[str, _Values]]] = {GOOD: [], WITH_CTF: [], ALL: []}
        self._uids: list[int] = []

    def add(self, item: ExposureToImport) -> None:
        """Take an exposure into the groups that it belongs to."""
        record, verdict = item.exposure.record, item.exposure.verdict
        slots: dict[str, _Values] = {
            "uid": (int.from_bytes(record.exposure_id.bytes[:8]),),
            "micrograph_blob": self._blob(item, item.micrograph),
            "mscope_params": _microscope(item),
        }
        if item.unweighted is not None:
            slots["micrograph_blob_non_dw"] = self._blob(item, item.unweighted)
        self._items[ALL].append(slots)
        if has_ctf(record.figures):
            with_ctf = slots | {"ctf": _ctf(item)}
            self._items[WITH_CTF].append(with_ctf)
            if is_to_go_on_with(verdict, record.figures):
                self._items[GOOD].append(with_ctf)

    def write(self, made_at: datetime) -> dict[str, int]:
        """Write the groups that have items; return how many each has, by the name of its file."""
        written = {}
        for name, items in self._items.items():
            group = self._folder / f"{name}.csg"
            if items:
                make_link(self._folder / _MICROGRAPHS, self._registered)
                self._write(name, items, made_at)
                written[f"{FOLDER}/{group.name}"] = len(items)
            else:
                group.unlink(missing_ok=True)  # what it had was rejected meanwhile
                self._remove_tables(name)
        return written

    def _write(self, name: str, items: Sequence[Mapping[str, _Values]], made_at: datetime) -> None:
        """Write a group in one step: its table has a name of its own, so that the file `.csg` names whole ones only."""
        slots = [slot for slot in SLOTS if all(slot in item for item in items)]
        table = _table(slots, items)
        digest = hashlib.sha256(table.tobytes()).hexdigest()[:12]
        path = self._folder / f"{name}-{digest}.cs"

        def write_table(temporary: Path) -> None:
            with temporary.open("wb") as stream:
                np.save(stream, table, allow_pickle=False)

        def write_group(temporary: Path) -> None:
            temporary.write_text(self._group(name, slots, path.name, len(items), made_at), encoding="utf-8")

        make_file(path, write_table)
        make_file(self._folder / f"{name}.csg", write_group)
        self._remove_tables(name, but=path)

    def _remove_tables(self, name: str, *, but: Path | None = None) -> None:
        for path in self._folder.glob(f"{name}-*.cs"):
            if path != but:
                path.unlink()

    def _group(self, name: str, slots: Iterable[str], table: str, count: int, made_at: datetime) -> str:
        lines = [
            f"created: {made_at:%Y-%m-%d %H:%M:%S.%f}",
            "group:",
            f"  description: 'Micrographs of the session {self._title}'",
            f"  name: {name}",
            f"  title: {TITLES[name]}",
            "  type: exposure",
            "results:",
        ]
        for slot in slots:
            lines += [
                f"  {slot}:",
                f"    metafile: '>{table}'",
                f"    num_items: {count}",
                f"    type: exposure.{SLOTS[slot][0]}",
            ]
        return "\n".join([*lines, f"version: {LAYOUT_OF}", ""])

    def _blob(self, item: ExposureToImport, file: RegisteredFile) -> _Values:
        record = item.exposure.record
        return (
            f">{_MICROGRAPHS}/{file.path.relative_to(self._registered).as_posix()}".encode(),
            0,
            (record.micrograph_height_px, record.micrograph_width_px),
            record.micrograph_pixel_size_angstrom,
            f"MRC/{file.mode}".encode(),
            *(0, 0.0, 0.0),
            int.from_bytes(hashlib.sha1(str(file.path).encode(), usedforsecurity=False).digest()[:8], "little"),
        )


TITLES = {
    GOOD: "Accepted micrographs with a reliable CTF",
    WITH_CTF: "All micrographs with a CTF",
    ALL: "All micrographs, without CTFs",
}


def _microscope(item: ExposureToImport) -> _Values:
    known = item.exposure.record.acquisition
    dose = (known.dose_per_frame_e_per_a2 or 0.0) * known.frame_count
    is_known = known.beam_shift_x is not None and known.beam_shift_y is not None
    return (
        known.voltage_kv,
        known.cs_mm,
        dose,
        int(CTF_PHASE_SHIFT in item.exposure.record.figures),
        0,
        item.group,
        b"",
        (known.beam_shift_x or 0.0, known.beam_shift_y or 0.0),
        int(is_known),
    )


def _ctf(item: ExposureToImport) -> _Values:
    known, figures = item.exposure.record.acquisition, item.exposure.record.figures
    return (
        b"imported",
        b"",
        item.group,
        known.voltage_kv,
        known.cs_mm,
        known.amplitude_contrast,
        figures[CTF_DEFOCUS_U],
        figures[CTF_DEFOCUS_V],
        math.radians(figures[CTF_ASTIGMATISM_ANGLE]),
        math.radians(figures.get(CTF_PHASE_SHIFT, 0.0)),
        figures.get(CTF_FIT_QUALITY, 0.0),
        figures.get(CTF_RESOLUTION, WORST_RESOLUTION_ANGSTROM),
        0.0,
    )


def _table(slots: Sequence[str], items: Sequence[Mapping[str, _Values]]) -> NDArray[np.void]:
    """Return the table of a group: a row for each item, texts as wide as the longest one."""
    rows = [sum((item[slot] for slot in slots), item["uid"]) for item in items]
    names = [(f"{slot}/{field[0]}", *field[1:]) for slot in slots for field in SLOTS[slot][1]]
    kinds: list[tuple[object, ...]] = [("uid", "<u8"), *names]
    for position, (name, kind, *shape) in enumerate(kinds):
        if kind == "S":
            longest = max(len(row[position]) for row in rows)  # type: ignore[arg-type]  # bytes
            kinds[position] = (name, f"S{max(1, longest)}", *shape)
    return np.array(rows, dtype=kinds)
