"""The picture shows what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.flow.plot import write_plot
from tests.benchmarks.flow.test_figures import LONG, SHORT, phase


@pytest.mark.parametrize("smallest", [0, 1000])
def test_the_picture_can_be_opened(tmp_path: Path, smallest: int) -> None:
    path = write_plot([phase(smallest, SHORT), phase(50000, LONG)], tmp_path / "flow.png")
    assert path is not None
    with Image.open(path) as picture:
        orange = np.all(np.asarray(picture.convert("RGB")) == (213, 94, 0), axis=-1)
    assert orange.sum() > 50


def test_there_is_none_of_a_single_size(tmp_path: Path) -> None:
    assert write_plot([phase(1000, SHORT)], tmp_path / "flow.png") is None
    assert not list(tmp_path.iterdir())
