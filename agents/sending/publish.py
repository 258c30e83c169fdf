"""From aligned files to a published exposure: seal their bytes, send them, publish the record."""

from __future__ import annotations

import os
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

from agents.journal.journal import Journal
from agents.journal.rows import ExposureRow, Output
from preprocess.results import ProcessedMovie
from transfer.client import ReceiverClient
from transfer.disk import open_to_read, sync_file, sync_folder
from transfer.file_digest import file_digest
from transfer.pace.pacer import Priority
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender
from transfer.wire.errors import FileCorrupt
from transfer.wire.exposure_record import (
    AcquisitionRecord,
    ExposureRecord,
    FileReference,
    FileRole,
    MotionRecord,
    ShiftsRecord,
)


def outputs_folder(work: Path, exposure: ExposureRow) -> Path:
    """Return where the outputs of an exposure's present revision lie."""
    return work / "exposures" / str(exposure.exposure_id) / f"r{exposure.revision}"


def seal_outputs(journal: Journal, work: Path, exposure: ExposureRow, processed: ProcessedMovie) -> list[Output]:
    """Make the outputs durable, files and folders, and return them with their digests and names on the receiver."""
    outputs = []
    for file in processed.files:
        name = exposure.remote_stem + file.path.name.removeprefix(processed.movie.stem)
        outputs.append(_sealed(work, file.path, role=file.role, name=name, revision=journal.next_revision(name)))
    folder = outputs_folder(work, exposure)
    for made in (folder, folder.parent, folder.parent.parent, work):
        sync_folder(made)
    return outputs


def _sealed(work: Path, path: Path, *, role: str, name: str, revision: int) -> Output:
    sync_file(path)
    descriptor = open_to_read(path)
    try:
        size_bytes = os.fstat(descriptor).st_size
        digest = file_digest(descriptor, size_bytes)
    finally:
        os.close(descriptor)
    return Output(
        role=role,
        local_path=str(path.relative_to(work)),
        remote_path=name,
        file_revision=revision,
        digest=digest,
        size_bytes=size_bytes,
    )


def exposure_record(exposure: ExposureRow, processed: ProcessedMovie, outputs: list[Output]) -> ExposureRecord:
    """Return the record that is published once all outputs are committed."""
    acquisition = processed.acquisition
    return ExposureRecord(
        exposure_id=exposure.exposure_id,
        revision=exposure.revision,
        movie=exposure.movie,
        label=exposure.label,
        micrograph_pixel_size_angstrom=processed.micrograph_pixel_size_angstrom,
        micrograph_width_px=processed.micrograph_width_px,
        micrograph_height_px=processed.micrograph_height_px,
        acquisition=AcquisitionRecord.model_validate(
            {
                "voltage_kv": acquisition.voltage_kv,
                "cs_mm": acquisition.cs_mm,
                "amplitude_contrast": acquisition.amplitude_contrast,
                "movie_pixel_size_angstrom": acquisition.pixel_size_angstrom,
                "magnification": acquisition.magnification,
                "dose_per_frame_e_per_a2": acquisition.dose_per_frame_e_per_a2,
                "pre_exposure_e_per_a2": acquisition.pre_exposure_e_per_a2 or 0.0,
                "frame_count": processed.frame_count,
            }
        ),
        shifts=ShiftsRecord(first_frame=processed.first_frame, y_px=processed.shifts_y_px, x_px=processed.shifts_x_px),
        motion=MotionRecord(
            total_angstrom=processed.motion_total_angstrom,
            early_angstrom=processed.motion_early_angstrom,
            late_angstrom=processed.motion_late_angstrom,
        ),
        files=tuple(
            FileReference(
                role=FileRole(output.role),
                path=output.remote_path,
                revision=output.file_revision,
                size_bytes=output.size_bytes,
                digest=output.digest,
            )
            for output in outputs
        ),
    )


def send_outputs(
    journal: Journal,
    work: Path,
    session: str,
    exposure: ExposureRow,
    sender: Sender,
    should_stop: Callable[[], bool],
    *,
    background: tuple[str, ...] = (),
) -> None:
    """Send what has no receipt yet side by side, keeping each receipt as it comes.

    Parameters
    ----------
    background
        Patterns of the names of files that are sent after all others.

    Raises
    ------
    TransferError
    """
    roles = {}
    for output in journal.outputs(exposure.exposure_id, exposure.revision):
        if output.receipt is None:
            source, name = work / output.local_path, output.remote_path
            in_background = any(fnmatch(source.name, pattern) for pattern in background)
            priority = Priority.BACKGROUND if in_background else Priority.FOREGROUND
            file = FileToSend(source, session, name, output.file_revision, digest=output.digest, priority=priority)
            roles[file] = output.role
    failed = None
    for outcome in sender.send_many(roles, should_stop=should_stop):
        if outcome.receipt:
            journal.keep_receipt(exposure.exposure_id, exposure.revision, roles[outcome.file], outcome.receipt)
        failed = failed or outcome.error
    if failed:
        raise failed


def publish_record(client: ReceiverClient, session: str, exposure: ExposureRow) -> None:
    """Publish the record of an exposure whose files are all committed.

    Raises
    ------
    TransferError
    """
    if exposure.record is None:
        raise FileCorrupt(f"{exposure.movie}: the journal holds no record of it")
    client.publish(session, exposure.record)
