"""Estimates the CTF of a computed movie; nothing that goes wrong here costs the movie."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from preprocess.computed_movie import ComputedMovie
from preprocess.ctf.estimation import estimate_ctf
from preprocess.ctf.optics import CtfOptics
from preprocess.errors import CtfImpossible
from preprocess.movie_warning import MovieWarning
from preprocess.pipeline.ctf_warnings import ctf_warnings, not_estimated, without_voltage

_log = logging.getLogger(__name__)


def with_ctf(computed: ComputedMovie) -> ComputedMovie:
    """Return the movie with its CTF, if that is wanted, and with what a person should know about it."""
    if not computed.settings.ctf.wanted:
        return computed
    spectra, known = computed.images.ctf_spectra, computed.acquisition
    if spectra is None or known.voltage_kv is None or known.cs_mm is None or known.amplitude_contrast is None:
        return _warned(computed, without_voltage())
    optics = CtfOptics(
        pixel_size_angstrom=computed.pixel_size_angstrom,
        voltage_kv=known.voltage_kv,
        cs_mm=known.cs_mm,
        amplitude_contrast=known.amplitude_contrast,
    )
    try:
        ctf = estimate_ctf(spectra, optics, computed.settings.ctf, computed.settings.threads)
    except CtfImpossible as error:
        return _warned(computed, not_estimated(str(error)))
    except np.linalg.LinAlgError as error:
        _log.exception("%s: the CTF cannot be estimated", computed.movie.path.name)
        return _warned(computed, not_estimated(f"no model can be fitted to its spectrum ({error})"))
    found = ctf_warnings(ctf, known.defocus_angstrom)
    return replace(
        computed,
        ctf=ctf,
        warnings=(*computed.warnings, *found),
        images=replace(computed.images, ctf_spectra=None),
    )


def _warned(computed: ComputedMovie, warning: MovieWarning) -> ComputedMovie:
    return replace(computed, warnings=(*computed.warnings, warning))
