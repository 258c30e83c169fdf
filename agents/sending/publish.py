"""From aligned files to a published exposure: seal their bytes, send them, publish the record."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

from agents.journal.inputs import InputKind, UsedInput
from agents.journal.journal import NEWEST_SEQUENCE, Journal
from agents.journal.outputs import Output, references
from agents.journal.rows import ExposureRow
from preprocess.results import ProcessedMovie
from transfer.client import ReceiverClient
from transfer.disk.files import open_to_read, sync_file, sync_folder
from transfer.file_digest import file_digest
from transfer.pace.pacer import Priority
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender
from transfer.wire.errors import FileCorrupt
from transfer.wire.exposure_record import (
    MAX_TEXT,
    AcquisitionRecord,
    ExposureRecord,
    ProvenanceRecord,
    ShiftsRecord,
    TimesRecord,
    WarningRecord,
)
from transfer.wire.figures import fit_to_send


def outputs_folder(work: Path, exposure: ExposureRow) -> Path:
    """Return where the outputs of an exposure's present revision lie."""
    return work / "exposures" / str(exposure.exposure_id) / f"r{exposure.revision}"


def seal_outputs(journal: Journal, work: Path, exposure: ExposureRow, processed: ProcessedMovie) -> list[Output]:
    """Make the outputs durable, files and folders, and return them with their digests and names on the receiver."""
    outputs = []
    for file in processed.files:
        name = exposure.published_stem + file.path.name.removeprefix(processed.stem)
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


def exposure_record(
    exposure: ExposureRow,
    processed: ProcessedMovie,
    outputs: list[Output],
    *,
    used: Sequence[UsedInput] = (),
    source_name: str = "",
) -> ExposureRecord:
    """Return the record that is published once all outputs are committed; `publish_record` adds the time of sending.

    Parameters
    ----------
    used
        What the movie was aligned with, by its names.
    source_name
        What the user calls the source.
    """
    figures, left_out = fit_to_send(processed.figures)
    return ExposureRecord(
        exposure_id=exposure.published_id,
        revision=exposure.revision,
        movie=exposure.movie,
        label=exposure.label,
        micrograph_pixel_size_angstrom=processed.micrograph_pixel_size_angstrom,
        micrograph_width_px=processed.micrograph_width_px,
        micrograph_height_px=processed.micrograph_height_px,
        acquisition=_acquisition(processed),
        shifts=ShiftsRecord(first_frame=processed.first_frame, y_px=processed.shifts_y_px, x_px=processed.shifts_x_px),
        times=TimesRecord(
            found=datetime.fromtimestamp(exposure.found_at, UTC),
            finished=datetime.fromtimestamp(exposure.changed_at, UTC),  # its last change of state: to `finished`
            aligned=datetime.now(UTC),
        ),
        figures=figures,
        warnings=(
            *(
                WarningRecord(code=each.code, text=each.text[:MAX_TEXT], frame=each.frame)
                for each in processed.warnings
            ),
            *(WarningRecord(code="figure-left-out", text=text) for text in left_out),
        ),
        provenance=ProvenanceRecord(
            software=processed.software,
            movie_digest=processed.movie_digest,
            gain_digest=processed.gain_digest,
            source=source_name or None,
            gain_path=None if processed.gain is None else _path_of(InputKind.GAIN, used),
            defects_path=_path_of(InputKind.DEFECTS, used),
            gain_found_by=None if processed.gain is None else processed.gain.found_by[:MAX_TEXT] or None,
            settings_digest=processed.settings_digest,
        ),
        files=references(outputs),
    )


def _path_of(kind: InputKind, used: Sequence[UsedInput]) -> str | None:
    """Return the name of an input of that kind that was there, if there is room for it in the record."""
    path = next((each.path for each in used if each.kind is kind and each.version is not None), None)
    return path if path is not None and len(path) <= MAX_TEXT else None


def _acquisition(processed: ProcessedMovie) -> AcquisitionRecord:
    """Return how the exposure was taken; fields of equal names are passed on without naming each."""
    known, recording = processed.acquisition, asdict(processed.recording)
    return AcquisitionRecord.model_validate(
        {
            **recording,
            "voltage_kv": known.voltage_kv,
            "cs_mm": known.cs_mm,
            "amplitude_contrast": known.amplitude_contrast,
            "movie_pixel_size_angstrom": known.pixel_size_angstrom,
            "magnification": known.magnification,
            "dose_per_frame_e_per_a2": known.dose_per_frame_e_per_a2,
            "pre_exposure_e_per_a2": known.pre_exposure_e_per_a2 or 0.0,
            "target_defocus_um": None if known.defocus_angstrom is None else known.defocus_angstrom / 1e4,
            "frame_count": processed.frame_count,
        }
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
    seen_before = int(journal.about(NEWEST_SEQUENCE) or 0)
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
            role = roles[outcome.file]
            journal.keep_receipt(exposure.exposure_id, exposure.revision, role, outcome.receipt, seen_before)
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
    times = exposure.record.times.model_copy(update={"sent": datetime.now(UTC)})
    client.publish(session, exposure.record.model_copy(update={"times": times}))
