"""Writes all outputs of a movie: each file whole, the results' JSON last."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preprocess.computed_movie import ComputedMovie
from preprocess.correction.defect_files import is_serialem
from preprocess.correction.gain import is_relions
from preprocess.ctf.optics import CtfOptics
from preprocess.errors import OutputRefused
from preprocess.escaped_names import encodable, escaped
from preprocess.exposure.dose import critical_dose_scale
from preprocess.geometry.field import term_names
from preprocess.movie_warning import MovieWarning
from preprocess.outputs import report
from preprocess.outputs.figures import (
    DEAD_PIXELS,
    DEFECT_PIXELS,
    GAIN_RESIDUAL,
    HOT_PIXELS,
    MEAN_COUNTS,
    MOTION_MODEL_RESIDUAL,
    MOTION_STANDARD_ERROR,
    QUALITY_FIGURES,
    figures_of,
)
from preprocess.outputs.motion_plot import motion_png
from preprocess.outputs.motion_star import MotionStar, motion_star
from preprocess.outputs.motioncor_logs import full_log, patch_log
from preprocess.outputs.output_names import ENDINGS, output_paths, output_stem
from preprocess.outputs.pictures import spectrum_png, thumbnail_png
from preprocess.outputs.relion_motion import RelionMotion, relion_motion
from preprocess.outputs.whole_files import mrc_bytes, remove_partial_files, write_bytes, write_micrograph
from preprocess.results import MOTION_EARLY, MOTION_LATE, MOTION_TOTAL, GainUse, OutputFile, ProcessedMovie


@dataclass(frozen=True, slots=True)
class Written:
    """The files that were written, the figures, and all warnings, those of writing among them."""

    files: tuple[OutputFile, ...]
    figures: dict[str, float]
    warnings: tuple[MovieWarning, ...]


def write_outputs(computed: ComputedMovie, out_dir: Path) -> Written:
    """Write all outputs.

    Outputs that an earlier run left and this one does not make are removed.

    Raises
    ------
    OutputRefused
        The folder cannot be made.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputRefused(f"{out_dir} is not a folder and cannot be created as one") from error
    remove_partial_files(out_dir, output_stem(computed.movie.path))
    paths, images = output_paths(computed.movie.path, out_dir), computed.images.images
    paths["results"].unlink(missing_ok=True)  # it says that all the others are there, and whole
    with ThreadPoolExecutor(len(images) + 1, thread_name_prefix="outputs") as pool:
        writing = [
            pool.submit(
                write_micrograph,
                paths[role],
                image,
                computed.micrograph_pixel_size_angstrom,
                f"{report.software_label()}: aligned sum",
            )
            for role, image in images.items()
        ]
        relion = relion_motion(computed.field)
        drawn = _texts_and_pictures(computed, relion, pool) | _logs(computed) | _ctf_files(computed)
        drawn |= _power_spectrum(computed)
        for written in writing:
            written.result()
    warnings = computed.warnings
    too_large = [role for role, image in images.items() if image.beyond_float16]
    if too_large:
        names = ", ".join(paths[role].name for role in too_large)
        text = f"pixel values are beyond float16's range: {names} written as float32 instead"
        warnings = (*warnings, MovieWarning("beyond-float16", text))
    figures = figures_of(computed, relion)
    for role, content in drawn.items():
        write_bytes(paths[role], content)
    written_roles = [*images, *drawn]
    for role in paths.keys() - {*written_roles, "results"}:
        paths[role].unlink(missing_ok=True)
    sections = _sections(computed, figures, warnings)
    sections["files"] = {
        role: {"name": paths[role].name, "bytes": paths[role].stat().st_size} for role in written_roles
    }
    write_bytes(paths["results"], report.report_text(sections).encode("utf-8"))
    files = tuple(OutputFile(role=role, path=paths[role]) for role in [*written_roles, "results"])
    return Written(files, figures, warnings)


def _texts_and_pictures(computed: ComputedMovie, relion: RelionMotion, pool: ThreadPoolExecutor) -> dict[str, bytes]:
    """Return the content of the other files by role; the spectrum, which takes longest, is drawn beside the others."""
    images = computed.images
    spectrum = pool.submit(spectrum_png, images.half_spectrum, images.frequency_step)
    star = motion_star(_star_content(computed, relion)).encode("utf-8")
    thumbnail = thumbnail_png(images.boxes, images.height, images.width)
    plot = motion_png(
        computed.motion.shifts,
        computed.pixel_size_angstrom,
        computed.accumulated,
        dose_known=computed.dose is not None,
    )
    return {"motion_star": star, "thumbnail": thumbnail, "spectrum": spectrum.result(), "motion_plot": plot}


def _logs(computed: ComputedMovie) -> dict[str, bytes]:
    """Return MotionCor's logs by role, if they are wanted."""
    if not computed.settings.motioncor_logs:
        return {}
    first, movie, local = computed.used.start + 1, computed.movie, computed.local
    logs = {"motion_log": full_log(computed.field, first)}
    if local.used:
        patches = (local.patches_x, local.patches_y)
        logs["patch_motion_log"] = patch_log(computed.field, (movie.height, movie.width), patches, first)
    return {role: text.encode("ascii") for role, text in logs.items()}


def _ctf_files(computed: ComputedMovie) -> dict[str, bytes]:
    """Return the files about the CTF by role, if it was estimated."""
    known = computed.acquisition
    if computed.ctf is None or known.voltage_kv is None or known.cs_mm is None or known.amplitude_contrast is None:
        return {}
    from preprocess.outputs.ctf_files import ctf_files  # noqa: PLC0415 - it imports scipy.ndimage, which is slow

    optics = CtfOptics(
        pixel_size_angstrom=computed.micrograph_pixel_size_angstrom,
        voltage_kv=known.voltage_kv,
        cs_mm=known.cs_mm,
        amplitude_contrast=known.amplitude_contrast,
    )
    micrograph = f"{output_stem(computed.movie.path)}{ENDINGS['micrograph']}"
    return ctf_files(computed.ctf, optics, computed.settings.ctf, micrograph)


def _power_spectrum(computed: ComputedMovie) -> dict[str, bytes]:
    """Return the file for CTFFIND by role, if it is wanted."""
    spectrum = computed.images.power_spectrum
    if spectrum is None:
        return {}
    label = f"{report.software_label()}: sum of amplitude spectra"
    return {"power_spectrum": mrc_bytes(spectrum.image, spectrum.pixel_size_angstrom, label)}


def _star_content(computed: ComputedMovie, relion: RelionMotion) -> MotionStar:
    movie, dose, gain, defects = computed.movie, computed.dose, computed.settings.gain, computed.defects
    defects_file = computed.settings.defects.path
    hot = np.union1d(defects.hot, defects.dead)
    if defects_file is not None and is_serialem(defects_file):  # which RELION cannot read
        hot, defects_file = np.union1d(hot, defects.listed), None
    return MotionStar(
        movie_name=escaped(movie.path.name),
        gain_name=escaped(gain.path.name) if gain.path is not None and is_relions(gain, movie) else None,
        defects_name=None if defects_file is None else escaped(defects_file.name),
        width=movie.width,
        height=movie.height,
        frame_count=movie.frame_count,
        first_frame=computed.used.start + 1,
        bin_factor=computed.settings.bin_factor,
        pixel_size_angstrom=computed.pixel_size_angstrom,
        dose_per_frame_e_per_a2=None if dose is None else dose.per_frame_e_per_a2,
        pre_exposure_e_per_a2=0.0 if dose is None else dose.pre_exposure_e_per_a2,
        voltage_kv=computed.acquisition.voltage_kv,
        hardware_frames_per_frame=movie.hardware_frames_per_frame if movie.format == "eer" else None,
        eer_upsampling=computed.settings.eer.upsampling,
        left_out=tuple(computed.used[frame.place] + 1 for frame in computed.left_out),
        motion=relion,
        hot_pixels=np.stack(np.divmod(hot, movie.width), 1),
    )


def _sections(computed: ComputedMovie, figures: dict[str, float], warnings: tuple[MovieWarning, ...]) -> dict[str, Any]:
    shifts = computed.motion.shifts - computed.motion.shifts[0]
    fit = computed.gain_fit
    return {
        "software": report.software_label(),
        "movie": report.movie_section(computed.movie),
        "made_from": asdict(computed.made_from),
        "parameters": report.parameters_section(computed.settings, computed.gain_digest),
        "device": computed.device.split(":")[0],
        "acquisition": report.acquisition_section(computed.acquisition),
        "micrograph": {
            "width_px": computed.images.width,
            "height_px": computed.images.height,
            "pixel_size_angstrom": computed.micrograph_pixel_size_angstrom,
            "number_type": str(computed.images.images["micrograph"].pixels().dtype),
            "dose_weighting": _weighting_section(computed),
        },
        "motion": {
            "first_frame": computed.used.start + 1,
            "last_frame": computed.used.stop,
            "frames_left_out": [
                {"frame": computed.used[frame.place] + 1, "reason": frame.reason} for frame in computed.left_out
            ],
            "shifts_y_px": shifts[:, 0].tolist(),
            "shifts_x_px": shifts[:, 1].tolist(),
            "standard_error_px": figures[MOTION_STANDARD_ERROR],
            "steps": computed.motion.steps,
            "converged": computed.motion.converged,
            "total_angstrom": figures[MOTION_TOTAL],
            "early_angstrom": figures[MOTION_EARLY],
            "late_angstrom": figures[MOTION_LATE],
            "local": _local_section(computed),
            "relion_model_residual_rms_px": figures[MOTION_MODEL_RESIDUAL],
        },
        "ctf": report.ctf_section(computed.ctf),
        "quality": {
            "mean_counts_per_px_per_frame": figures[MEAN_COUNTS],
            "hot_pixels": int(figures[HOT_PIXELS]),
            "dead_pixels": int(figures[DEAD_PIXELS]),
            "listed_defect_pixels": len(computed.defects.listed),
            "defect_pixels": int(figures[DEFECT_PIXELS]),
            "residual_gain_correlation": figures.get(GAIN_RESIDUAL),
            **{name: figures.get(name) for name in QUALITY_FIGURES},
            "gain_fit": None if fit is None else asdict(fit),
        },
        "warnings": [warning.text for warning in warnings],
        "warning_codes": [warning.code for warning in warnings],
    }


def _local_section(computed: ComputedMovie) -> dict[str, Any]:
    field = computed.field
    return {
        **asdict(computed.local),
        "terms": f"{term_names(field.terms)}; x = column / width - 0.5, y = row / height - 0.5",
        "coefficients_y_px": field.y.tolist() if computed.local.used else None,
        "coefficients_x_px": field.x.tolist() if computed.local.used else None,
    }


def _weighting_section(computed: ComputedMovie) -> dict[str, Any] | None:
    if not computed.settings.dose_weighting or computed.dose is None or computed.acquisition.voltage_kv is None:
        return None
    scale, interpolated = critical_dose_scale(computed.acquisition.voltage_kv)
    return {
        "critical_dose": "Grant & Grigorieff 2015: 0.245 k^-1.665 + 2.81 e/Å²",
        "critical_dose_scale": scale,
        "critical_dose_scale_interpolated": interpolated,
        "dose_per_frame_e_per_a2": computed.dose.per_frame_e_per_a2,
        "pre_exposure_e_per_a2": computed.dose.pre_exposure_e_per_a2,
        "total_dose_e_per_a2": float(computed.dose.after_frame[-1]),
        "weight_matrix_rank": len(computed.weights.frame_weights),
        "weight_matrix_largest_error": computed.weights.largest_error,
    }


def processed_movie(computed: ComputedMovie, written: Written, seconds: dict[str, float]) -> ProcessedMovie:
    """Return the result for the caller; `seconds` is the wall time of each stage."""
    shifts = computed.motion.shifts - computed.motion.shifts[0]
    return ProcessedMovie(
        movie=computed.movie.path,
        stem=output_stem(computed.movie.path),
        acquisition=computed.acquisition,
        frame_count=computed.movie.frame_count,
        movie_width_px=computed.movie.width,
        movie_height_px=computed.movie.height,
        micrograph_width_px=computed.images.width,
        micrograph_height_px=computed.images.height,
        micrograph_pixel_size_angstrom=computed.micrograph_pixel_size_angstrom,
        first_frame=computed.used.start + 1,
        shifts_y_px=tuple(shifts[:, 0].tolist()),
        shifts_x_px=tuple(shifts[:, 1].tolist()),
        figures=written.figures,
        files=written.files,
        seconds=dict(seconds),
        device=computed.device,
        software=report.software_label(),
        warnings=written.warnings,
        gain=_gain_use(computed),
        gain_digest=computed.gain_digest,
        recording=computed.recording,
    )


def _gain_use(computed: ComputedMovie) -> GainUse | None:
    gain, fit = computed.settings.gain, computed.gain_fit
    if fit is None:
        return None
    return GainUse(
        rotate_degrees=gain.rotate_degrees,
        flip=gain.flip,
        operation=gain.operation,
        decision=fit.decision.value,
        file="" if gain.path is None else escaped(gain.path.name),
        found_by=encodable(gain.found_by),
    )
