"""Publishes exposures as the receiver does: committed files on the disk, rows in its database."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from PIL import Image
from sqlalchemy import func, insert, select, update

from api.database.engine import Database
from api.database.migrate import upgrade
from api.database.registrations import add_registrations, counted_registrations
from api.database.tables import exposure_records, exposures, files, now, projects, registrations, sessions
from api.store.figures import replace_figures
from api.store.judging import judge, judge_within
from api.store.thresholds import set_threshold
from api.store.verdicts import say
from transfer.wire.exposure_record import (
    AcquisitionRecord,
    ExposureRecord,
    FileReference,
    FileRole,
    ShiftsRecord,
)
from transfer.wire.verdict import Side, StartingThreshold, verdict_of

MOTION = {"motion_total_angstrom": 2.7, "motion_early_angstrom": 2.0, "motion_late_angstrom": 0.7}
CTF = {"ctf_defocus_u_angstrom": 12000, "ctf_defocus_v_angstrom": 11000, "ctf_astigmatism_angle_degrees": 30}
PICTURES = (
    (FileRole.THUMBNAIL, ".png"),
    (FileRole.SPECTRUM, "_spectrum.png"),
    (FileRole.MOTION_PLOT, "_motion.png"),
)
MOTION_STAR = """data_general

_rlnImageSizeX 96
_rlnImageSizeY 64
_rlnImageSizeZ 3
_rlnMicrographMovieName {movie}
_rlnMicrographBinning 1.000000
_rlnMicrographOriginalPixelSize {pixel}
_rlnMicrographDoseRate 1.000000
_rlnMicrographPreExposure 0.000000
_rlnVoltage 300.000000
_rlnMicrographStartFrame 1
_rlnMotionModelVersion 0

data_global_shift

loop_
_rlnMicrographFrameNumber #1
_rlnMicrographShiftX #2
_rlnMicrographShiftY #3
1 0.0 0.0
2 -1.5 0.5
3 -2.5 1.0
"""


def write_rings(path: Path) -> None:
    """Write a picture of a spectrum's rings, as a CTF estimate comes with one."""
    y, x = np.indices((32, 32)) - 16
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.cos(np.hypot(y, x)).astype(np.float32))


class Publisher:
    """A receiver's data folder with one session."""

    def __init__(self, data: Path, session: str = "grid1", registrars: tuple[str, ...] = ("scipion", "relion")) -> None:
        self.data = data
        self.session = session
        self.registrars = registrars
        self.folder = data / "sessions" / session
        data.mkdir(parents=True, exist_ok=True)
        self.database = Database(f"sqlite:///{data / 'receiver.sqlite'}")
        upgrade(self.database, data)
        with self.database.write() as connection:
            row = connection.execute(
                insert(sessions).values(name=session, state="open", created_at=now()).returning(sessions.c.id)
            )
            self.session_id = row.scalar_one()

    def move(self, to: Path) -> None:
        """Move the data folder."""
        self.database.close()
        self.data.rename(to)
        self.data, self.folder = to, to / "sessions" / self.session
        self.database = Database(f"sqlite:///{to / 'receiver.sqlite'}")

    def publish(
        self,
        label: str,
        *,
        revision: int = 1,
        pixel_size: float = 1.06,
        shape: tuple[int, int] = (64, 96),
        dtype: type = np.float16,
        image: np.ndarray | None = None,
        ctf: bool | dict[str, float] = False,
        seed: int = 1,
        movie: str = "",
        tilt: dict[str, Any] | None = None,
        shifts: ShiftsRecord | None = None,
        sums: tuple[FileRole, ...] = (),
        pictures: bool = True,
        acquisition: dict[str, Any] | None = None,
    ) -> ExposureRecord:
        """Commit an exposure's files and publish its record; a higher revision supersedes.

        `ctf`: with `CTF` among the figures, or `CTF` and these. `tilt`: more of the
        acquisition. `sums`: other sums that come with it, twice as bright. `pictures`: with those of the micrograph,
        its spectrum, its motion and its CTF.
        """
        stem = label if revision == 1 else f"{label}.r{revision}"
        committed = self.folder / "files"
        committed.mkdir(parents=True, exist_ok=True)
        if image is None:
            image = np.random.default_rng(seed).normal(100, 10, shape)
        with mrcfile.new(committed / f"{stem}.mrc") as mrc:
            mrc.set_data(image.astype(dtype))
            mrc.voxel_size = pixel_size
        picture = np.clip(image, 0, 255).astype(np.uint8)
        (committed / f"{stem}.star").write_text(MOTION_STAR.format(movie=f"{label}.tiff", pixel=pixel_size))
        kinds = [(FileRole.MICROGRAPH, ".mrc"), (FileRole.MOTION_STAR, ".star")]
        for number, (role, suffix) in enumerate(PICTURES if pictures else ()):
            Image.fromarray(picture + np.uint8(number)).save(committed / f"{stem}{suffix}")
            kinds.append((role, suffix))
        for role in sums:
            kinds.append((role, f"_{role}.mrc"))
            with mrcfile.new(committed / f"{stem}_{role}.mrc") as mrc:
                mrc.set_data((2 * image).astype(np.float32 if role is FileRole.POWER_SPECTRUM else dtype))
                mrc.voxel_size = 1.4 if role is FileRole.POWER_SPECTRUM else pixel_size
        if ctf and pictures:
            kinds.append((FileRole.CTF_SPECTRUM, "_ctf.mrc"))
            write_rings(committed / f"{stem}_ctf.mrc")
        references = tuple(self._commit(role, committed / f"{stem}{suffix}", revision) for role, suffix in kinds)
        record = ExposureRecord(
            exposure_id=uuid.uuid5(uuid.NAMESPACE_URL, f"{self.session}/{label}"),
            revision=revision,
            movie=movie or f"Images-Disc1/{label}.tiff",
            label=label,
            micrograph_pixel_size_angstrom=pixel_size,
            micrograph_width_px=image.shape[1],
            micrograph_height_px=image.shape[0],
            acquisition=AcquisitionRecord(
                **{"voltage_kv": 300, "cs_mm": 2.7, "amplitude_contrast": 0.1, **(acquisition or {})},
                movie_pixel_size_angstrom=pixel_size,
                magnification=None if seed % 2 else 105000,
                dose_per_frame_e_per_a2=None if seed % 3 else 1.25,
                frame_count=3,
                **{"pre_exposure_e_per_a2": 0.5, **(tilt or {})},
            ),
            shifts=shifts or ShiftsRecord(first_frame=1, y_px=(0.25, -0.25, -0.75), x_px=(0.5, 2.0, 3.0)),
            figures=MOTION | (CTF if ctf else {}) | (ctf if isinstance(ctf, dict) else {}),
            files=references,
        )
        self._publish(record, f"{label}.mrc")
        return record

    def _commit(self, role: FileRole, path: Path, revision: int) -> FileReference:
        content = path.read_bytes()
        reference = FileReference(
            role=role,
            path=path.name,
            revision=revision,
            size_bytes=len(content),
            digest=hashlib.sha256(content).hexdigest(),
        )
        with self.database.write() as connection:
            connection.execute(
                insert(files).values(
                    session_id=self.session_id,
                    path=path.name,
                    revision=revision,
                    size_bytes=len(content),
                    digest=reference.digest,
                    location=str(path.relative_to(self.data)),
                    committed_at=now(),
                )
            )
        return reference

    def _publish(self, record: ExposureRecord, name: str) -> None:
        with self.database.write() as connection:
            if record.revision == 1:
                row = connection.execute(
                    insert(exposures)
                    .values(
                        session_id=self.session_id,
                        exposure_id=record.exposure_id,
                        revision=1,
                        micrograph_name=name,
                    )
                    .returning(exposures.c.id)
                ).scalar_one()
            else:
                row = connection.execute(
                    select(exposures.c.id).where(exposures.c.exposure_id == record.exposure_id)
                ).scalar_one()
            connection.execute(
                insert(exposure_records).values(
                    exposure=row, revision=record.revision, record=record.model_dump_json(), published_at=now()
                )
            )
            with counted_registrations(connection, self.session_id, [row]):
                connection.execute(update(exposures).where(exposures.c.id == row).values(revision=record.revision))
                add_registrations(connection, row, record.revision, self.registrars)
            replace_figures(connection, self.session_id, row, record.figures)
            judge(connection, self.session_id, range(row, row + 1))

    def reject_motion_above(self, value: float) -> None:
        """Change the session's threshold, and judge its exposures anew."""
        wanted = StartingThreshold("motion_total_angstrom", Side.ABOVE, value)
        with self.database.write() as connection:
            set_threshold(connection, self.session_id, wanted, "abcdefgh")
        assert judge_within(self.database, self.session_id, 60)

    def say(self, *labels: str, accepted: bool | None) -> None:
        """Say as a person that exposures are accepted or not; None: withdraw that."""
        said = [verdict_of(f"{label}.mrc", accepted=accepted) for label in labels]
        with self.database.write() as connection:
            say(connection, self.session_id, said, "abcdefgh")

    def set_session_state(self, state: str) -> None:
        """`open` or `ended`."""
        with self.database.write() as connection:
            connection.execute(update(sessions).where(sessions.c.id == self.session_id).values(state=state))

    def count(self, registrar: str, state: str) -> int:
        """How many of the registrar's rows are in that state."""
        query = select(func.count()).where(registrations.c.registrar == registrar, registrations.c.state == state)
        with self.database.read() as connection:
            return connection.execute(query).scalar_one()

    def details(self, registrar: str) -> set[str]:
        """What the registrar says of its rows."""
        with self.database.read() as connection:
            return set(
                connection.execute(
                    select(registrations.c.detail).where(registrations.c.registrar == registrar)
                ).scalars()
            )

    def project(self, registrar: str) -> str | None:
        """Where the registrar's project lies."""
        with self.database.read() as connection:
            return connection.execute(
                select(projects.c.location).where(projects.c.registrar == registrar)
            ).scalar_one_or_none()

    def closed(self, registrar: str) -> bool:
        """Whether the registrar has closed the session's project."""
        with self.database.read() as connection:
            return bool(connection.execute(select(projects.c.closed).where(projects.c.registrar == registrar)).scalar())

    def reopen_project(self) -> None:
        """What publishing does to a project that was closed."""
        with self.database.write() as connection:
            connection.execute(update(projects).values(closed=False))
