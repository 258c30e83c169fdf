"""Fourier transforms by SciPy's extension module, without the import of `scipy.fft` around it.

That import takes 0.12 s, a tenth of what the alignment of a small movie takes, and each of its calls another 15 µs of
checks, in which no other thread can make one. Transforms are those of `scipy.fft`, to the bit. Where the extension is
not found, because this SciPy has it elsewhere, `scipy.fft` itself is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from preprocess.scipy_extension import scipy_extension

_NAME = "scipy.fft._pocketfft.pypocketfft"
_BY_COUNT = 2
"""Normalization of inverse transforms: divided by the number of values."""


class _ScipyTransforms(Protocol):
    """What SciPy's extension module holds."""

    def r2c(self, a: Any, axes: Sequence[int], forward: bool, inorm: int, out: Any, nthreads: int) -> Any: ...

    def c2c(self, a: Any, axes: Sequence[int], forward: bool, inorm: int, out: Any, nthreads: int) -> Any: ...

    def c2r(
        self, a: Any, axes: Sequence[int], lastsize: int, forward: bool, inorm: int, out: Any, nthreads: int
    ) -> Any: ...

    def good_size(self, target: int, real: bool) -> int: ...


class PublicTransforms:
    """The same functions by `scipy.fft`."""

    def r2c(self, a: Any, axes: Sequence[int], forward: bool, inorm: int, out: Any, nthreads: int) -> Any:  # noqa: ARG002
        """Return the half spectrum of real values."""
        import scipy.fft  # noqa: PLC0415 - the slow import

        return _given(scipy.fft.rfftn(a, axes=axes, workers=nthreads), out)

    def c2c(self, a: Any, axes: Sequence[int], forward: bool, inorm: int, out: Any, nthreads: int) -> Any:  # noqa: ARG002
        """Return the spectrum of complex values, or the values of a spectrum."""
        import scipy.fft  # noqa: PLC0415 - the slow import

        transform = scipy.fft.fftn if forward else scipy.fft.ifftn
        return _given(transform(a, axes=axes, workers=nthreads), out)

    def c2r(
        self,
        a: Any,
        axes: Sequence[int],
        lastsize: int,
        forward: bool,  # noqa: ARG002
        inorm: int,  # noqa: ARG002
        out: Any,
        nthreads: int,
    ) -> Any:
        """Return the real values of a half spectrum."""
        import scipy.fft  # noqa: PLC0415 - the slow import

        shape = [*(a.shape[axis] for axis in axes[:-1]), lastsize]
        return _given(scipy.fft.irfftn(a, s=shape, axes=axes, workers=nthreads), out)

    def good_size(self, target: int, real: bool) -> int:
        """Return the next length whose transform is fast."""
        import scipy.fft  # noqa: PLC0415 - the slow import

        return int(scipy.fft.next_fast_len(target, real=real))


def _given(found: Any, out: Any) -> Any:
    if out is None:
        return found
    out[...] = found
    return out


def extension() -> _ScipyTransforms | None:
    """Return SciPy's extension module, without any package around it; None where it is not found."""
    return cast(_ScipyTransforms | None, scipy_extension(_NAME, ("r2c", "c2c", "c2r", "good_size")))


_transforms: _ScipyTransforms = extension() or PublicTransforms()


def rfft(
    values: NDArray[np.float32], axis: int = -1, out: NDArray[np.complex64] | None = None
) -> NDArray[np.complex64]:
    """Return the half spectra along an axis, in an array that is given or in a new one."""
    found: NDArray[np.complex64] = _transforms.r2c(values, (axis % values.ndim,), True, 0, out, 1)
    return found


def irfft(spectra: NDArray[np.complex64], count: int, axis: int = -1) -> NDArray[np.float32]:
    """Return `count` values along an axis for each half spectrum."""
    found: NDArray[np.float32] = _transforms.c2r(spectra, (axis % spectra.ndim,), count, False, _BY_COUNT, None, 1)
    return found


def fft(
    values: NDArray[np.complex64], axis: int, out: NDArray[np.complex64] | None = None, threads: int = 1
) -> NDArray[np.complex64]:
    """Return the spectra along an axis, in an array that is given, which may be `values`, or in a new one."""
    found: NDArray[np.complex64] = _transforms.c2c(values, (axis % values.ndim,), True, 0, out, threads)
    return found


def ifft(
    spectra: NDArray[np.complex64], axis: int, out: NDArray[np.complex64] | None = None, threads: int = 1
) -> NDArray[np.complex64]:
    """Return the values along an axis for each spectrum, in an array that is given, or in a new one."""
    axes = (axis % spectra.ndim,)
    found: NDArray[np.complex64] = _transforms.c2c(spectra, axes, False, _BY_COUNT, out, threads)
    return found


def rfft2(
    image: NDArray[np.float32], out: NDArray[np.complex64] | None = None, threads: int = 1
) -> NDArray[np.complex64]:
    """Return the half spectrum of an image, in an array that is given or in a new one."""
    found: NDArray[np.complex64] = _transforms.r2c(image, (0, 1), True, 0, out, threads)
    return found


def irfft2(spectrum: NDArray[np.complex64], width: int, threads: int = 1) -> NDArray[np.float32]:
    """Return the image, `width` px wide, of a half spectrum."""
    found: NDArray[np.float32] = _transforms.c2r(spectrum, (0, 1), width, False, _BY_COUNT, None, threads)
    return found


def next_fast_length(least: int) -> int:
    """Return the next length from which transforms of real values are fast."""
    return _transforms.good_size(least, True)
