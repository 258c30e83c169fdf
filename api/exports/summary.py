"""What the records of a session say of it as a whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from transfer.wire.exposure_record import ExposureRecord
from transfer.wire.figures import CTF_DEFOCUS_U, CTF_DEFOCUS_V, CTF_RESOLUTION


@dataclass(slots=True)
class Extent:
    """Least, most and mean of some values; None: there are none."""

    least: float | None = None
    most: float | None = None
    total: float = 0.0
    count: int = 0

    def add(self, value: float | None) -> None:
        """Take a value in; None: it is not known."""
        if value is None:
            return
        self.least = value if self.least is None else min(self.least, value)
        self.most = value if self.most is None else max(self.most, value)
        self.total += value
        self.count += 1

    @property
    def mean(self) -> float | None:
        """The mean of the values."""
        return self.total / self.count if self.count else None


class MicrographKind(NamedTuple):
    """What micrographs of one set have in common; `mode` is that of their MRC files."""

    height_px: int
    width_px: int
    pixel_size_angstrom: float
    mode: int


@dataclass(slots=True)
class SessionSummary:
    """Counts, extents and usual values of a session's registered exposures, without tilts.

    Attributes
    ----------
    name, began_at
        Of the session.
    first_exposed_at
        The earliest shutter time with a time zone.
    groups
        The numbers of the optics groups.
    micrographs
        How many there are of each kind.
    """

    name: str
    began_at: datetime
    first_exposed_at: datetime | None = None
    groups: set[int] = field(default_factory=set)
    micrographs: Counter[MicrographKind] = field(default_factory=Counter)
    software: Counter[str] = field(default_factory=Counter)
    voltage_kv: Counter[float] = field(default_factory=Counter)
    cs_mm: Counter[float] = field(default_factory=Counter)
    amplitude_contrast: Counter[float] = field(default_factory=Counter)
    movie_pixel_size_angstrom: Counter[float] = field(default_factory=Counter)
    magnification: Counter[float] = field(default_factory=Counter)
    frame_count: Counter[int] = field(default_factory=Counter)
    gain_digests: Counter[str] = field(default_factory=Counter)
    dose_e_per_a2: Extent = field(default_factory=Extent)
    pre_exposure_e_per_a2: Extent = field(default_factory=Extent)
    exposure_time_s: Extent = field(default_factory=Extent)
    target_defocus_um: Extent = field(default_factory=Extent)
    image_shift_x_um: Extent = field(default_factory=Extent)
    image_shift_y_um: Extent = field(default_factory=Extent)
    defocus_angstrom: Extent = field(default_factory=Extent)
    resolution_angstrom: Extent = field(default_factory=Extent)

    @property
    def count(self) -> int:
        """How many exposures there are."""
        return self.micrographs.total()

    def add(self, record: ExposureRecord, group: int, mode: int) -> None:
        """Take an exposure in."""
        known = record.acquisition
        self.groups.add(group)
        self.micrographs[
            MicrographKind(
                record.micrograph_height_px,
                record.micrograph_width_px,
                record.micrograph_pixel_size_angstrom,
                mode,
            )
        ] += 1
        self._add_usual(record)
        if known.dose_per_frame_e_per_a2 is not None:
            self.dose_e_per_a2.add(known.dose_per_frame_e_per_a2 * known.frame_count)
        self.pre_exposure_e_per_a2.add(known.pre_exposure_e_per_a2)
        self.exposure_time_s.add(known.exposure_time_s)
        self.target_defocus_um.add(known.target_defocus_um)
        self.image_shift_x_um.add(known.image_shift_x_um)
        self.image_shift_y_um.add(known.image_shift_y_um)
        if {CTF_DEFOCUS_U, CTF_DEFOCUS_V} <= record.figures.keys():
            self.defocus_angstrom.add((record.figures[CTF_DEFOCUS_U] + record.figures[CTF_DEFOCUS_V]) / 2)
        self.resolution_angstrom.add(record.figures.get(CTF_RESOLUTION))
        if known.shutter_time is not None and known.shutter_time.tzinfo is not None:
            earlier = self.first_exposed_at or known.shutter_time
            self.first_exposed_at = min(earlier, known.shutter_time).astimezone(UTC)

    def _add_usual(self, record: ExposureRecord) -> None:
        known, provenance = record.acquisition, record.provenance
        self.voltage_kv[known.voltage_kv] += 1
        self.cs_mm[known.cs_mm] += 1
        self.amplitude_contrast[known.amplitude_contrast] += 1
        self.movie_pixel_size_angstrom[known.movie_pixel_size_angstrom] += 1
        self.frame_count[known.frame_count] += 1
        if known.magnification is not None:
            self.magnification[known.magnification] += 1
        if provenance is not None:
            self.software[provenance.software] += 1
            if provenance.gain_digest is not None:
                self.gain_digests[provenance.gain_digest] += 1
