"""Runs cryoferry's own estimator on an image, in this process."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.ctf.answers import CtfAnswer, CtfQuestion
from preprocess.backends.choose import choose_backend
from preprocess.ctf.estimate import CtfEstimate
from preprocess.ctf.estimation import estimate_ctf
from preprocess.ctf.optics import CtfOptics
from preprocess.ctf.spectrum import block_spectra
from preprocess.errors import PreprocessError
from preprocess.settings import CtfSettings

NAME = "cryoferry"


def own_answer(image: NDArray[np.float32], question: CtfQuestion, threads: int) -> CtfAnswer:
    """Return our answer for an image in memory."""
    method = f"{NAME}-{threads}"
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        estimate = own_estimate(image, question, threads)
    except PreprocessError as error:
        return CtfAnswer(method=method, failure=str(error))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return CtfAnswer(
        method=method,
        defocus_u_angstrom=estimate.defocus_u_angstrom,
        defocus_v_angstrom=estimate.defocus_v_angstrom,
        angle_degrees=estimate.angle_degrees,
        phase_shift_degrees=estimate.phase_shift_degrees,
        fit_resolution_angstrom=estimate.fit_resolution_angstrom,
        score=estimate.score,
        reliable=estimate.reliable,
        sigma_angstrom=estimate.sigma_angstrom,
        significance=estimate.significance,
        margin=estimate.margin,
        tilt_degrees=estimate.tilt_degrees,
        tilt_axis_degrees=estimate.tilt_axis_degrees,
        thickness_angstrom=estimate.thickness_angstrom,
        reason=estimate.reason,
        wall_s=wall,
        cpu_s=cpu,
    )


def own_estimate(image: NDArray[np.float32], question: CtfQuestion, threads: int) -> CtfEstimate:
    """Return our estimate of an image in memory."""
    optics = CtfOptics(
        pixel_size_angstrom=question.pixel_size_angstrom,
        voltage_kv=question.voltage_kv,
        cs_mm=question.cs_mm,
        amplitude_contrast=question.amplitude_contrast,
    )
    settings = CtfSettings(
        find_phase_shift=question.find_phase_shift,
        lowest_defocus_angstrom=question.lowest_defocus_angstrom,
        highest_defocus_angstrom=question.highest_defocus_angstrom,
    )
    backend = choose_backend("cpu", threads)
    return estimate_ctf(block_spectra(image, question.pixel_size_angstrom, backend), optics, settings, threads)
