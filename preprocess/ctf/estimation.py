"""Estimates the CTF of an image from its spectrum: search, refinement, tilt, and what the result is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads, usable_threads
from preprocess.ctf.aberration_misfit import AT_PER_ANGSTROM, aberration_misfit
from preprocess.ctf.confidence import LARGEST_ABERRATION_RAD, ConfidenceFigures, PhaseMisfit, why_unreliable
from preprocess.ctf.drawing import drawn_spectra
from preprocess.ctf.estimate import CtfEstimate
from preprocess.ctf.half_plane import HalfPlane, half_plane
from preprocess.ctf.held_out import held_out
from preprocess.ctf.ice import ice_figures
from preprocess.ctf.merit import fit_merit
from preprocess.ctf.model import PHASE, PhaseTerms
from preprocess.ctf.near_defoci import NEARLY_AS_LIKELY, NearDefoci, closer_look, distance, near_fits
from preprocess.ctf.optics import CtfOptics
from preprocess.ctf.ranking import RankedFit, best_fit
from preprocess.ctf.refinement import FitTask, FittedModel, refine
from preprocess.ctf.samples import SpectrumSamples, pixel_samples, polar_samples
from preprocess.ctf.sandwich import model_error, robust_covariance
from preprocess.ctf.search import SearchRange, sector_profiles
from preprocess.ctf.sectors import SmoothCourse, sector_sums, smooth_course
from preprocess.ctf.spectrum import BlockSpectra
from preprocess.ctf.thickness import find_thickness, of_thickness
from preprocess.ctf.tilt import DefocusPlane, fit_plane, without_tilt
from preprocess.errors import CtfImpossible
from preprocess.settings import CtfSettings

COARSEST_FITTED_ANGSTROM = 30.0
FEWEST_RINGS = 32
COARSEST_NYQUIST_ANGSTROM = 12.0
PHASE_SHIFTS_SEARCHED = 9
SIGMA_DOUBTFUL_BELOW = 8.0
"""Measured: the significance of rings below which errors exceed what the likelihood's curvature says by much, because
noise decides which flank of the likelihood's peak is taken for its top."""
MISFIT_SOUGHT_FROM = 10.0
"""Significance from which rings can tell that voltage, Cs or pixel size are wrong."""
TILT_SOUGHT_FROM_ENERGY = 60.0
TILT_ROUNDS = 2
STEEPEST_WITH_THICKNESS_DEGREES = 12.0
LEAST_ENERGY_LEFT = 0.93
"""What must be left of the rings' energy when a tilt is taken out: a real one makes it rise, interpolation fall."""


@dataclass(frozen=True, slots=True)
class _Untilted:
    """The spectrum with which the fit goes on, its sectors and rings, the fit, and the plane that was taken out.

    `uneven_error` is the part of the mean defocus' standard error, Å, that comes from variation over the image.
    """

    power: NDArray[np.float32]
    task: FitTask
    fit: FittedModel
    tilt: DefocusPlane | None
    uneven_error: float = 0.0


@dataclass(frozen=True, slots=True)
class _Found:
    """The last fit, and what was found besides: what its confidence follows from, tilt, thickness in Å."""

    fit: FittedModel
    figures: ConfidenceFigures
    tilt: DefocusPlane | None
    thickness: float | None


@dataclass(frozen=True, slots=True)
class _Spectrum:
    """A spectrum ready to be fitted."""

    spectra: BlockSpectra
    plane: HalfPlane
    course: SmoothCourse
    terms: PhaseTerms

    def polar(self, power: NDArray[np.float32], threads: RowThreads) -> SpectrumSamples:
        """Return the samples of a mean spectrum's sectors and rings."""
        sums = sector_sums(power[None], self.plane, threads)[0]
        return polar_samples(sums, self.course, self.plane, self.terms.frequency_step)


def estimate_ctf(spectra: BlockSpectra, optics: CtfOptics, settings: CtfSettings, threads: int = 0) -> CtfEstimate:
    """Estimate the CTF.

    Parameters
    ----------
    spectra : BlockSpectra
        Of the image, from `spectrum.block_spectra`.
    optics : CtfOptics
        What is known about the microscope.
    settings : CtfSettings
        The range of defocus, and whether the phase shift is sought.
    threads : int
        0: every core that this process may use. The result is the same whatever their number.

    Raises
    ------
    CtfImpossible
        There is nothing to estimate it from: the image is too small, too coarse, empty or saturated.
    """
    _refuse_impossible(spectra, optics)
    rows = RowThreads(usable_threads(threads))
    step = spectra.frequency_step
    plane = half_plane(spectra.radius, _first_ring(step))
    terms = PhaseTerms.of(optics, step)
    power = spectra.mean()
    sums = sector_sums(power[None], plane, rows)[0]
    spectrum = _Spectrum(spectra, plane, smooth_course(sums, plane, step), terms)
    samples = polar_samples(sums, spectrum.course, plane, step)
    task = FitTask(samples, terms, spectra.effective_count, settings.find_phase_shift)
    where = _range(settings)
    profiles = sector_profiles(sums, spectrum.course, plane, step)
    ranked = best_fit(task, profiles, spectrum.course, where, rows)
    untilted = _without_tilt(spectrum, power, task, ranked.fit, rows)
    pixels = pixel_samples(untilted.power, spectrum.course, plane, step)
    last = FitTask(pixels, terms, task.tile_count, task.with_phase, is_last=not task.with_phase)
    thickness = _thickness(untilted, rows)
    confirming = untilted.task
    if thickness is None:
        fit = refine(last, untilted.fit.parameters, rows, steps=3, linear=untilted.fit.linear)
    else:
        last, confirming = of_thickness(last, thickness), of_thickness(confirming, thickness)
        fit = refine(last, untilted.fit.parameters, rows, steps=5)
    figures = _confidence_figures(spectrum, confirming, fit, ranked, where, untilted.uneven_error, rows)
    found = _Found(fit, figures, untilted.tilt, thickness)
    return _estimate(spectrum, last.samples, power, found, settings, optics.pixel_size_angstrom, rows)


def _thickness(untilted: _Untilted, threads: RowThreads) -> float | None:
    """Return the thickness, Å, if the rings show it; a steep tilt makes them fade in the same way."""
    if untilted.tilt is not None and untilted.tilt.tilt_degrees > STEEPEST_WITH_THICKNESS_DEGREES:
        return None
    return find_thickness(untilted.task, untilted.fit, threads)


def _refuse_impossible(spectra: BlockSpectra, optics: CtfOptics) -> None:
    height, width = spectra.shape
    step = spectra.frequency_step
    nyquist = 2 * optics.pixel_size_angstrom
    if spectra.radius - _first_ring(step) < FEWEST_RINGS or nyquist > COARSEST_NYQUIST_ANGSTROM:
        raise CtfImpossible(
            f"its spectrum has too few rings: the image is {width} x {height} px of {optics.pixel_size_angstrom:g} Å"
            f" and shows {nyquist:.3g} Å at best"
        )
    if not spectra.tile_count:
        raise CtfImpossible("the image is empty, saturated, or the same everywhere")


def _first_ring(step: float) -> int:
    return max(4, int(np.ceil(1 / COARSEST_FITTED_ANGSTROM / step)))


def _range(settings: CtfSettings) -> SearchRange:
    shifts = np.arange(PHASE_SHIFTS_SEARCHED) * np.pi / PHASE_SHIFTS_SEARCHED if settings.find_phase_shift else [0.0]
    lowest, highest = settings.lowest_defocus_angstrom, settings.highest_defocus_angstrom
    return SearchRange(lowest, highest, tuple(float(shift) for shift in shifts))


def _without_tilt(
    spectrum: _Spectrum, power: NDArray[np.float32], task: FitTask, fit: FittedModel, threads: RowThreads
) -> _Untilted:
    """Take the tilt out of the spectrum, where there is one and the rings get no fainter without it."""
    found = _Untilted(power, task, fit, None)
    if fit.ring_energy <= TILT_SOUGHT_FROM_ENERGY or np.count_nonzero(spectrum.spectra.tile_counts) < 4:
        return found
    for _ in range(TILT_ROUNDS):
        tilt = fit_plane(
            spectrum.spectra, spectrum.plane, spectrum.course, task.samples, task.terms, found.fit, threads
        )
        if found.tilt is None:
            found = replace(found, uneven_error=tilt.error_if_flat)
        if not tilt.is_significant:
            return found
        flat = without_tilt(spectrum.spectra, tilt, found.fit.defocus, threads)
        flat_task = FitTask(spectrum.polar(flat, threads), task.terms, task.tile_count, task.with_phase)
        sharper = refine(flat_task, found.fit.parameters, threads, steps=4, linear=found.fit.linear)
        if (
            sharper.ring_energy < found.fit.ring_energy * LEAST_ENERGY_LEFT
            or abs(sharper.defocus - found.fit.defocus) > 0.03 * found.fit.defocus
        ):
            return found
        if sharper.ring_energy < found.fit.ring_energy:
            return replace(found, tilt=tilt, uneven_error=tilt.error_on_plane)
        found = _Untilted(flat, flat_task, sharper, tilt, tilt.error_on_plane)
    return found


def _confidence_figures(
    spectrum: _Spectrum,
    task: FitTask,
    fit: FittedModel,
    ranked: RankedFit,
    where: SearchRange,
    uneven_error: float,
    threads: RowThreads,
) -> ConfidenceFigures:
    """Return what the confidence follows from. task: the sectors and rings of the spectrum that was fitted."""
    curvature = float(np.sqrt(max(fit.covariance[0, 0], 0)))
    variance = np.maximum(fit.covariance.diagonal()[:PHASE], robust_covariance(task, fit).diagonal())
    misfit = aberration = None
    if not task.with_phase and fit.ring_energy > MISFIT_SOUGHT_FROM**2:
        misfit = _phase_misfit(task, fit, threads)
        aberration = _aberration_misfit(task, fit, threads)
    significance = float(np.sqrt(max(fit.ring_energy, 0)))
    near = closer_look(task, fit, curvature)
    factor = float(np.hypot(1, SIGMA_DOUBTFUL_BELOW / max(significance, 1)))
    reach, ambiguity = _elsewhere(task, fit, near, threads)
    return ConfidenceFigures(
        defocus=fit.defocus,
        half_astigmatism=fit.astigmatism,
        sigma=float(np.hypot(max(factor * float(np.sqrt(variance[0])), near.spread, ambiguity), uneven_error)),
        sigma_astigmatism=factor * float(np.sqrt(variance[1:].mean())),
        significance=significance,
        margin=ranked.margin,
        rival=ranked.rival,
        held_out=held_out(task, spectrum.plane, fit, threads),
        misfit=misfit,
        aberration=aberration,
        reach=max(reach, ranked.moved),
        lowest=where.lowest,
        highest=where.highest,
    )


def _phase_misfit(task: FitTask, fit: FittedModel, threads: RowThreads) -> PhaseMisfit:
    """Return by how much the phase of the rings, let free, differs from the one that was given."""
    free = refine(replace(task, with_phase=True), fit.parameters, threads, steps=4, linear=fit.linear)
    phase = float((free.parameters[3] + np.pi / 2) % np.pi - np.pi / 2)
    return PhaseMisfit(phase=phase, sigma=float(np.sqrt(max(free.covariance[3, 3], 0))))


def _aberration_misfit(task: FitTask, fit: FittedModel, threads: RowThreads) -> PhaseMisfit:
    """Return by how much the part of the phase that grows with k⁴ differs, with an error that holds.

    The curvature's error is too small where the model is wrong in other ways. How much, the fit with that difference
    taken out tells: without that, the difference itself would widen the error.
    """
    found = aberration_misfit(task, fit)
    if abs(found.phase) < LARGEST_ABERRATION_RAD:
        return found
    aberration = task.terms.aberration - found.phase / AT_PER_ANGSTROM**4
    corrected = replace(task, terms=replace(task.terms, aberration=aberration))
    fitted = refine(corrected, fit.parameters, threads, steps=4, linear=fit.linear)
    return found.widened(model_error(corrected, fitted))


def _elsewhere(task: FitTask, fit: FittedModel, near: NearDefoci, threads: RowThreads) -> tuple[float, float]:
    """Return how far from a fit others lie that are nearly as likely, and their root mean square, as likely each, Å."""
    alternatives = near_fits(task, fit, near.other_peaks, threads)
    here = refine(task, fit.parameters, threads, steps=1, linear=fit.linear).log_likelihood if alternatives else 0.0
    likely = [one for one in alternatives if one.log_likelihood > here - NEARLY_AS_LIKELY]
    weight = np.exp([min(one.log_likelihood - here, 0.0) for one in likely])
    squares = np.array([(one.defocus - fit.defocus) ** 2 for one in likely])
    ambiguity = float(np.sqrt((weight * squares).sum() / (1 + weight.sum())))
    return max([near.reach, *(distance(fit, one) for one in likely)]), ambiguity


def _estimate(
    spectrum: _Spectrum,
    samples: SpectrumSamples,
    power: NDArray[np.float32],
    found: _Found,
    settings: CtfSettings,
    pixel_size: float,
    threads: RowThreads,
) -> CtfEstimate:
    """Return the fit with all that follows from it."""
    spectra, terms, fit, tilt = spectrum.spectra, spectrum.terms, found.fit, found.tilt
    plain = _plain_average(power, spectrum.plane)
    merit = fit_merit(samples, spectrum.plane, terms, fit, plain * spectra.variance, threads)
    measured, fitted = drawn_spectra(samples, spectrum.plane, terms, fit, threads)
    figures = found.figures
    reason = why_unreliable(figures, merit.score)
    return CtfEstimate(
        defocus_u_angstrom=fit.defocus + fit.astigmatism,
        defocus_v_angstrom=fit.defocus - fit.astigmatism,
        angle_degrees=_angle(fit),
        phase_shift_degrees=float(np.degrees(fit.parameters[3]) % 180) if settings.find_phase_shift else 0.0,
        phase_shift_searched=settings.find_phase_shift,
        fit_resolution_angstrom=merit.fit_resolution_angstrom,
        score=merit.score,
        sigma_angstrom=figures.sigma,
        sigma_astigmatism_angstrom=figures.sigma_astigmatism,
        significance=figures.significance,
        margin=figures.margin,
        reliable=not reason,
        reason=reason,
        tilt_degrees=None if tilt is None else tilt.tilt_degrees,
        tilt_axis_degrees=None if tilt is None else tilt.axis_degrees,
        thickness_angstrom=found.thickness,
        ice=ice_figures(merit.profile.frequency_per_angstrom, plain, spectra.shape, pixel_size),
        profile=merit.profile,
        measured_spectrum=measured,
        fitted_spectrum=fitted,
        frequency_step_per_angstrom=terms.frequency_step,
        tile_count=spectra.tile_count,
    )


def _angle(fit: FittedModel) -> float:
    """Return the angle of U's axis, above -90 up to 90 degrees."""
    angle = float(np.degrees(0.5 * np.arctan2(fit.parameters[2], fit.parameters[1])))
    return 90.0 if angle <= -90 else angle


def _plain_average(power: NDArray[np.float32], plane: HalfPlane) -> NDArray[np.float64]:
    """Return the spectrum averaged over circles, by ring from 0 to r; rings that are not fitted as the first one is."""
    used = plane.bins >= 0
    rings = plane.bins[used] % (plane.radius + 1)
    counts = np.bincount(rings, minlength=plane.radius + 1)
    sums = np.bincount(rings, power[used], plane.radius + 1)
    average = sums / np.maximum(counts, 1)
    first = plane.first_ring
    average[:first] = average[first]
    return average
