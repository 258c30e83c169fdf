"""Gaussian and box filters by SciPy's extension module, to the bit, without the import of `scipy.ndimage` around it.

Where the extension is not found, because this SciPy has it elsewhere, `scipy.ndimage` itself is used.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from preprocess.scipy_extension import scipy_extension

_NAME = "scipy.ndimage._nd_image"
_REACH_SIGMAS = 4.0
Mode = Literal["nearest", "reflect"]
_CODES = {"nearest": 0, "reflect": 2}
"""SciPy's numbers for what lies beyond an edge."""

Values = NDArray[Any]


class _ScipyFilters(Protocol):
    """What SciPy's extension module holds."""

    def correlate1d(
        self, values: Values, weights: Values, axis: int, output: Values, mode: int, outside: float, origin: int, /
    ) -> Any: ...

    def uniform_filter1d(
        self, values: Values, size: int, axis: int, output: Values, mode: int, outside: float, origin: int, /
    ) -> Any: ...


class PublicFilters:
    """The same functions by `scipy.ndimage`."""

    def correlate1d(
        self, values: Values, weights: Values, axis: int, output: Values, mode: int, _outside: float, _origin: int, /
    ) -> None:
        """Write the sum of neighbours along an axis, weighted."""
        import scipy.ndimage  # noqa: PLC0415 - the slow import

        scipy.ndimage.correlate1d(values, weights, axis, output, _name_of(mode))

    def uniform_filter1d(
        self, values: Values, size: int, axis: int, output: Values, mode: int, _outside: float, _origin: int, /
    ) -> None:
        """Write the mean of neighbours along an axis."""
        import scipy.ndimage  # noqa: PLC0415 - the slow import

        scipy.ndimage.uniform_filter1d(values, size, axis, output, _name_of(mode))


def _name_of(code: int) -> Any:
    return next(name for name, number in _CODES.items() if number == code)


def extension() -> _ScipyFilters | None:
    """Return SciPy's extension module, without any package around it; None where it is not found."""
    return cast(_ScipyFilters | None, scipy_extension(_NAME, ("correlate1d", "uniform_filter1d")))


_filters: _ScipyFilters = extension() or PublicFilters()


def gaussian_filter(image: Values, sigma: float, mode: Mode = "reflect") -> Values:
    """Return values smoothed along all axes."""
    for axis in range(image.ndim):
        image = gaussian_filter1d(image, sigma, axis, mode)
    return image


def gaussian_filter1d(values: Values, sigma: float, axis: int = -1, mode: Mode = "reflect") -> Values:
    """Return values smoothed along an axis."""
    reach = int(_REACH_SIGMAS * sigma + 0.5)
    places = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * places**2)
    smooth = np.zeros_like(values)
    axis %= values.ndim
    _filters.correlate1d(values, weights / weights.sum(), axis, smooth, _CODES[mode], 0.0, 0)
    return smooth


def box_filter(image: Values, size: int, mode: Mode = "reflect") -> Values:
    """Return the mean of `size` neighbours along each axis."""
    for axis in range(image.ndim):
        mean = np.zeros_like(image)
        _filters.uniform_filter1d(image, size, axis, mean, _CODES[mode], 0.0, 0)
        image = mean
    return image
