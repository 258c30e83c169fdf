from __future__ import annotations

import pytest

from preprocess.scipy_extension import scipy_extension


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("scipy.fft._pocketfft.pypocketfft", ("r2c", "no_such_function")),
        ("scipy.fft._pocketfft.no_such_module", ("r2c",)),
        ("scipy.fft._pocketfft.LICENSE", ()),  # no extension
        ("scipy.no_such_folder.module", ()),
    ],
)
def test_what_this_scipy_has_not_is_not_taken(name: str, needed: tuple[str, ...]) -> None:
    assert scipy_extension(name, needed) is None


def test_an_extension_is_found() -> None:
    assert scipy_extension("scipy.fft._pocketfft.pypocketfft", ("r2c", "good_size")) is not None
