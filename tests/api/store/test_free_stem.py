from __future__ import annotations

from api.store.free_stem import USUAL
from preprocess.outputs.output_names import ENDINGS


def test_the_usual_suffixes_are_those_of_an_alignment() -> None:
    assert set(USUAL) == set(ENDINGS.values())
