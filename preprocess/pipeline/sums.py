"""Sums aligned frames into micrographs: dose-weighted, plain, even and odd, all in one pass over the frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import Backend, FrameStack
from preprocess.computed_movie import Micrographs
from preprocess.ctf.spectrum import block_spectra
from preprocess.exposure.dose import DoseWeights, plain_weights
from preprocess.geometry.field import DisplacementField
from preprocess.outputs.pictures import thumbnail_boxes
from preprocess.pipeline.ctf_input import CtfInput
from preprocess.pipeline.power_spectrum import power_spectrum
from preprocess.pipeline.undamping import undamping
from preprocess.settings import AlignmentSettings


def micrograph_shape(height: int, width: int, bin_factor: int) -> tuple[int, int]:
    """Return the micrograph's height and width; binned ones are even."""
    if bin_factor == 1:
        return height, width
    return 2 * (height // (2 * bin_factor)), 2 * (width // (2 * bin_factor))


def micrographs(
    stack: FrameStack,
    backend: Backend,
    field: DisplacementField,
    weights: DoseWeights,
    settings: AlignmentSettings,
    shape: tuple[int, int],
    pixel_size_angstrom: float,
    ctf_input: CtfInput | None = None,
    spectrum_groups: NDArray[np.float32] | None = None,
) -> Micrographs:
    """Sum frames into micrographs and send them on their way from the device; the stack's frames are released.

    The weighted one is weighted by `weights`, the plain ones are made if the settings ask for them.
    `pixel_size_angstrom` is that of the micrographs.
    """
    rank = len(weights.frame_weights)
    extra = _plain_sums(len(field), settings)
    groups = [] if ctf_input is None else [ctf_input.groups]
    of_spectrum = np.zeros((0, len(field)), np.float32) if spectrum_groups is None else spectrum_groups
    warped = list(
        stack.warped_sums(field, np.concatenate([weights.frame_weights, *extra.values(), *groups, of_spectrum]))
    )
    stack.release()
    whole = backend.filtered_sum(warped[:rank], weights.filters, shape, undamping(field, weights))
    spectra, plain_end = None, rank + len(extra)
    written = None
    if len(of_spectrum):
        first = len(warped) - len(of_spectrum)
        written = power_spectrum(warped[first:], of_spectrum, field, backend, pixel_size_angstrom / settings.bin_factor)
        del warped[first:]
    if ctf_input is not None:
        spectra = ctf_input.spectra(warped[:rank], weights, warped[plain_end:], field, backend)
    del warped[plain_end:], warped[:rank]
    images = {"micrograph": backend.bring_down(whole, float32=settings.float32)}
    boxes = backend.reduced(whole, thumbnail_boxes(*shape))
    of_plain = undamping(field, plain_weights(len(field)))
    plain = {name: [warped[index]] for index, name in enumerate(extra)}
    if settings.even_odd and settings.unweighted:
        plain["micrograph_unweighted"] = plain["micrograph_even"] + plain["micrograph_odd"]
    for name, parts in plain.items():
        filters = np.repeat(plain_weights(1).filters, len(parts), 0)
        image = backend.filtered_sum(parts, filters, shape, of_plain)
        images[name] = backend.bring_down(image, float32=settings.float32)
        if name == "micrograph_unweighted":
            whole = image
    if spectra is None:
        drawn = block_spectra(whole, pixel_size_angstrom, backend)
        half, step = drawn.mean(), drawn.frequency_step
    else:
        half, step = _up_to(spectra.mean(), spectra.frequency_step, 0.5 / pixel_size_angstrom), spectra.frequency_step
    return Micrographs(images, *shape, boxes, half, step, spectra, written)


def _plain_sums(frame_count: int, settings: AlignmentSettings) -> dict[str, NDArray[np.float32]]:
    """Return the frame weights, shape (1, frames), of the plain sums to be accumulated."""
    number = np.arange(1, frame_count + 1)
    if settings.even_odd:
        even = (number % 2 == 0).astype(np.float32)
        return {"micrograph_even": even[None], "micrograph_odd": 1 - even[None]}
    if settings.unweighted:
        return {"micrograph_unweighted": plain_weights(frame_count).frame_weights}
    return {}


def _up_to(half: NDArray[np.float32], step: float, frequency: float) -> NDArray[np.float32]:
    """Return the part of half a spectrum, (2 r + 1, r + 1), that a binned micrograph has too."""
    radius = half.shape[1] - 1
    kept = min(radius, int(frequency / step))
    return half[radius - kept : radius + kept + 1, : kept + 1]
