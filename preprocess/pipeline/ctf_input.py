"""What a movie's CTF is estimated from: the spectrum of the plain sum, or the mean of those of a few sums.

Never that of the dose-weighted sum: weighting colours the spectrum, which costs a factor of three in exactness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import Backend, DeviceImage, Undamping
from preprocess.ctf.spectrum import BlockSpectra, block_spectra
from preprocess.exposure.dose import DoseWeights, plain_weights
from preprocess.geometry.field import DisplacementField
from preprocess.pipeline.undamping import undamping


@dataclass(frozen=True, slots=True)
class CtfInput:
    """How the input of the estimate is made.

    Attributes
    ----------
    pixel_size_angstrom : float
        Of the frames.
    groups : NDArray[np.float32]
        Which frames are in each of the sums whose spectra are averaged, 1 or 0: shape (sums, frames). Without any sum
        it is the spectrum of the plain sum.
    """

    pixel_size_angstrom: float
    groups: NDArray[np.float32]

    def spectra(
        self,
        sums: Sequence[DeviceImage],
        weights: DoseWeights,
        group_sums: Sequence[DeviceImage],
        field: DisplacementField,
        backend: Backend,
    ) -> BlockSpectra:
        """Return the spectra.

        Parameters
        ----------
        sums : Sequence[DeviceImage]
            Those that `weights` accumulates.
        group_sums : Sequence[DeviceImage]
            Those of `groups`.
        """
        if not len(self.groups):
            factors = np.repeat(plain_factors(weights)[:, None], 2, 1)
            plain = backend.filtered_sum(sums, factors, sums[0].shape)
            return self._of_sum(plain, undamping(field, plain_weights(len(field))), backend)
        found = []
        for image, frames in zip(group_sums, self.groups, strict=True):
            of_group = DoseWeights(frames[None], plain_weights(1).filters, 0.0)
            found.append(self._of_sum(image, undamping(field, of_group), backend))
        return _together(found)

    def _of_sum(self, image: DeviceImage, factors: Undamping, backend: Backend) -> BlockSpectra:
        spectra = block_spectra(image, self.pixel_size_angstrom, backend)
        return _undamped(spectra, factors, self.pixel_size_angstrom)


def plain_factors(weights: DoseWeights) -> NDArray[np.float32]:
    """Return by what the sums that `weights` accumulates are multiplied so that they add up to the plain sum.

    At zero frequency dose weights are alike, so that there are such factors: each frame counts 1, to 0.002 (measured,
    2 to 500 frames). They are rounded so that the last bits of a linear-algebra library do not reach the spectrum.
    """
    frames = weights.frame_weights.T.astype(np.float64)
    factors: NDArray[np.float32] = np.round(np.linalg.lstsq(frames, np.ones(len(frames)))[0], 6).astype(np.float32)
    return factors


def frame_groups(doses: NDArray[np.float64], group_dose: float) -> NDArray[np.float32]:
    """Return which frames, whose doses are given, are in each sum of about `group_dose`: shape (sums, frames)."""
    count = min(max(round(float(doses.sum()) / group_dose), 1), len(doses))
    middles = np.cumsum(doses) - doses / 2
    of_frame = np.minimum((middles * count / doses.sum()).astype(np.int64), count - 1)
    groups: NDArray[np.float32] = (of_frame == np.arange(count)[:, None]).astype(np.float32)
    filled: NDArray[np.float32] = groups[groups.any(1)]
    return filled


def _undamped(spectra: BlockSpectra, factors: Undamping, pixel_size_angstrom: float) -> BlockSpectra:
    """Return the spectra with what interpolation took given back, which an image would need a transform for."""
    places = np.linspace(0, 0.5, factors.shape[1])
    along = np.arange(spectra.radius + 1) * spectra.frequency_step * pixel_size_angstrom
    along_y, along_x = (np.interp(along, places, axis).astype(np.float32) ** 2 for axis in factors)
    rows = np.concatenate([along_y[:0:-1], along_y])
    return replace(spectra, powers=spectra.powers * rows[:, None] * along_x)


def _together(spectra: Sequence[BlockSpectra]) -> BlockSpectra:
    """Return the spectra of several images of one kind as if all their tiles were one image's."""
    counts = np.stack([each.tile_counts for each in spectra])
    centres = np.stack([each.centres_angstrom for each in spectra])
    total = counts.sum(0)
    return replace(
        spectra[0],
        powers=np.sum([each.powers for each in spectra], axis=0, dtype=np.float32),
        tile_counts=total,
        effective_counts=np.sum([each.effective_counts for each in spectra], axis=0),
        effective_count=sum(each.effective_count for each in spectra),
        centres_angstrom=(centres * counts[..., None]).sum(0) / np.maximum(total, 1)[:, None],
        tiles_laid=sum(each.tiles_laid for each in spectra),
        variance=float(np.mean([each.variance for each in spectra])),
    )
