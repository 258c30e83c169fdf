"""The results of a demo for each exposure: motion and CTF compared with the truth, times, digests, registrations."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from agents.demo.microscope import Shot
from transfer.file_digest import file_digest
from transfer.wire.exposure_record import ExposureRecord, FileRole
from transfer.wire.figures import CTF_DEFOCUS_U, CTF_DEFOCUS_V, CTF_RELIABLE, CTF_RESOLUTION
from transfer.wire.protocol import Exposure, RegistrationState

STAGES = {"written": "finished", "finished": "aligned", "aligned": "committed", "committed": "registered"}
"""Stages by the states that begin and end them."""
_HEADINGS = {"finished": "align", "aligned": "send", "committed": "show"}


@dataclass(slots=True)
class DemoExposure:
    """One exposure of the demo.

    `reached_at_s` maps each state to when the exposure first had it, in seconds since the demo began.
    """

    shot: Shot
    state: str = "waiting"
    movie_bytes: int = 0
    micrograph_bytes: int = 0
    reached_at_s: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    motion_px: float = 0.0
    motion_error_px: float | None = None
    defocus_um: float | None = None
    ctf_resolution_angstrom: float | None = None
    digests_verified: bool | None = None
    registrations: dict[str, str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Return whether every registrar has it and its files have the right digests."""
        return bool(
            self.digests_verified
            and self.registrations
            and all(state == RegistrationState.REGISTERED for state in self.registrations.values())
        )

    def seconds(self, begin: str) -> float | None:
        """Return how long the stage that begins with this state took; None if it has not ended."""
        end = STAGES[begin]
        if begin not in self.reached_at_s or end not in self.reached_at_s:
            return None
        return max(0.0, self.reached_at_s[end] - self.reached_at_s[begin])

    def reach(self, state: str, at_s: float, reason: str) -> None:
        """Note its state, the reason, and when it first had this state."""
        self.state, self.reason = state, reason
        self.reached_at_s.setdefault(state, at_s)

    def take_published(self, exposure: Exposure, files: Path) -> None:
        """Take what was published: motion and how far it is from the true one, the CTF, and whether digests hold."""
        record = exposure.record
        self.motion_px, self.motion_error_px = motion_and_error_px(self.shot.true_shifts_yx_px, record)
        figures = record.figures
        if figures.get(CTF_RELIABLE):
            self.defocus_um = round((figures[CTF_DEFOCUS_U] + figures[CTF_DEFOCUS_V]) / 2e4, 4)
            self.ctf_resolution_angstrom = round(figures[CTF_RESOLUTION], 2)
        micrograph = record.file(FileRole.MICROGRAPH)
        self.micrograph_bytes = micrograph.size_bytes if micrograph else 0
        self.digests_verified = _digests_hold(record, files)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "movie": self.shot.movie,
            "format": self.shot.format,
            "movie_bytes": self.movie_bytes,
            "micrograph_bytes": self.micrograph_bytes,
            "motion_px": self.motion_px,
            "motion_error_px": self.motion_error_px,
            "defocus_um": self.defocus_um,
            "true_defocus_um": self.shot.settings.defocus_angstrom / 1e4,
            "ctf_resolution_angstrom": self.ctf_resolution_angstrom,
            "state": self.state,
            "reason": self.reason,
            "states": {state: round(at_s, 2) for state, at_s in self.reached_at_s.items()},
            "seconds": {f"{begin}_to_{end}": self.seconds(begin) for begin, end in STAGES.items()},
            "digests_verified": self.digests_verified,
            "registrations": self.registrations,
            "settings": asdict(self.shot.settings),
        }


def motion_and_error_px(true_yx_px: NDArray[np.float64], record: ExposureRecord) -> tuple[float, float]:
    """Return the true drift from first to last frame and the estimate's error (RMS per axis), in px.

    The true positions are averaged over the time of each estimated frame, because alignment groups EER's hardware
    frames. The mean over time is subtracted for each axis, because a constant offset does not blur the micrograph.
    """
    estimate = np.stack([record.shifts.y_px, record.shifts.x_px], axis=1)
    truth = _shared_time(len(estimate), len(true_yx_px)) @ true_yx_px
    error = (estimate - estimate.mean(axis=0)) - (truth - truth.mean(axis=0))
    drift = float(np.hypot(*(true_yx_px[-1] - true_yx_px[0])))
    return round(drift, 2), round(float(np.sqrt((error**2).mean())), 3)


def _shared_time(estimated: int, true: int) -> NDArray[np.float64]:
    """Return the part of each estimated frame's time that each true frame fills, shape (estimated, true)."""
    begins, ends = np.arange(estimated) / estimated, np.arange(1, estimated + 1) / estimated
    shared = np.minimum(ends[:, None], np.arange(1, true + 1) / true) - np.maximum(
        begins[:, None], np.arange(true) / true
    )
    parts: NDArray[np.float64] = np.clip(shared, 0, None) * estimated
    return parts


def _digests_hold(record: ExposureRecord, files: Path) -> bool:
    for reference in record.files:
        with (files / reference.path).open("rb") as file:
            if os.fstat(file.fileno()).st_size != reference.size_bytes:
                return False
            if file_digest(file.fileno(), reference.size_bytes) != reference.digest:
                return False
    return True


def table(exposures: list[DemoExposure]) -> Table:
    """Return the table for the end of the demo; it fits into 80 columns."""
    registrars = sorted({name for exposure in exposures for name in exposure.registrations})
    shown = Table(title="Results for each exposure", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0))
    shown.add_column("exposure", no_wrap=True)
    shown.add_column("type", no_wrap=True)
    measured = ("drift\npx", "error\npx", "defocus\nµm", "CTF\nÅ")
    for heading in (*measured, *(f"{name}\ns" for name in _HEADINGS.values())):
        shown.add_column(heading, justify="right", no_wrap=True)
    for heading in ("digest", *registrars):
        shown.add_column(heading, justify="center", no_wrap=True)
    for exposure in exposures:
        if exposure.reason:
            continue
        shown.add_row(*_row(exposure, registrars))
    if set_aside := [exposure for exposure in exposures if exposure.reason]:
        shown.caption = "\n".join(f"{_short_name(each)} {each.state}: {each.reason}" for each in set_aside)
        shown.caption_justify = "left"
    return shown


def _row(exposure: DemoExposure, registrars: list[str]) -> list[str | Text]:
    error = exposure.motion_error_px
    return [
        _short_name(exposure),
        exposure.shot.format,
        f"{exposure.motion_px:.1f}",
        "–" if error is None else f"{error:.3f}",
        "–" if exposure.defocus_um is None else f"{exposure.defocus_um:.3f}",
        "–" if exposure.ctf_resolution_angstrom is None else f"{exposure.ctf_resolution_angstrom:.1f}",
        *("–" if (seconds := exposure.seconds(begin)) is None else f"{seconds:.1f}" for begin in _HEADINGS),
        _mark(exposure.digests_verified),
        *(_mark(exposure.registrations.get(name) == RegistrationState.REGISTERED) for name in registrars),
    ]


def _short_name(exposure: DemoExposure) -> str:
    return Path(exposure.shot.movie).name.split("_")[1]


def _mark(good: bool | None) -> Text:
    return Text("✓", "green") if good else Text("✗", "red")
