"""Which values of CRYOFERRY_KERNELS are understood, and what is said of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocess.backends.compiled.chosen_kernels import (
    KERNELS_VARIABLE,
    NVCOMP_VARIABLE,
    kernels_are_off,
    nvcomp_is_wanted,
    refuse_unknown_choices,
)
from preprocess.errors import KernelsUnknown
from tests import running


@pytest.mark.parametrize("value", ["numba", "NUMBA", "Numba", " numba "])
def test_case_and_spaces_do_not_matter(value: str) -> None:
    assert kernels_are_off({KERNELS_VARIABLE: value})


@pytest.mark.parametrize("value", ["", "auto", "AUTO"])
def test_without_a_choice_kernels_in_c_are_used(value: str) -> None:
    assert not kernels_are_off({})
    assert not kernels_are_off({KERNELS_VARIABLE: value})


def test_nvcomp_is_off_unless_it_is_switched_on() -> None:
    assert not nvcomp_is_wanted({})
    assert not nvcomp_is_wanted({NVCOMP_VARIABLE: "off"})
    assert nvcomp_is_wanted({NVCOMP_VARIABLE: "ON"})
    with pytest.raises(KernelsUnknown, match="CRYOFERRY_NVCOMP is '1', which is none of off, on"):
        refuse_unknown_choices({NVCOMP_VARIABLE: "1"})


def test_another_value_is_refused() -> None:
    with pytest.raises(KernelsUnknown, match="CRYOFERRY_KERNELS is 'numbaa', which is none of auto, numba"):
        kernels_are_off({KERNELS_VARIABLE: "numbaa"})


@pytest.mark.parametrize(
    "command",
    [
        ("align", "movie.tiff"),
        ("ctf", "micrograph.mrc"),
        ("doctor",),
        ("watch", ".", "--session", "a", "--to", "http://127.0.0.1:9", "--work", "work"),
    ],
)
def test_every_command_refuses_another_value(command: tuple[str, ...], tmp_path: Path) -> None:
    done = running.cryoferry(*command, cwd=tmp_path, HOME=str(tmp_path), **{KERNELS_VARIABLE: "C++"})
    assert done.returncode == 2
    assert "error: the environment variable CRYOFERRY_KERNELS is 'C++', which is none of auto, numba" in done.stderr
    assert "what to do: Unset that variable" in done.stderr
    assert not list(tmp_path.iterdir()), "nothing was begun"
