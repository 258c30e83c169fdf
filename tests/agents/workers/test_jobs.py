"""Choices as plain JSON: they survive the way there and back, and take changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agents.workers.jobs import changes, from_json, same_result, to_json, with_changes
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.settings import AlignmentSettings, GainSettings

CHOSEN = ChosenAlignment(
    settings=AlignmentSettings(device="cpu"),
    flags=Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83),
    configured=Acquisition(),
)


def test_choices_travel_as_json_and_take_changes() -> None:
    chosen = replace(CHOSEN, settings=AlignmentSettings(gain=GainSettings(path=Path("/g.mrc"), rotate_degrees=90)))
    assert from_json(to_json(chosen)) == chosen
    other = replace(
        CHOSEN, settings=AlignmentSettings(bin_factor=2, gain=GainSettings(flip="x")), flags=Acquisition(cs_mm=2.7)
    )
    assert changes(other) == {"settings": {"bin_factor": 2, "gain": {"flip": "x"}}, "flags": {"cs_mm": 2.7}}
    merged = from_json(with_changes(to_json(chosen), changes(other)))
    assert merged.settings.gain == GainSettings(path=Path("/g.mrc"), rotate_degrees=90, flip="x")
    assert merged.flags.pixel_size_angstrom == 1.1
    assert merged.flags.cs_mm == 2.7
    assert merged.settings.bin_factor == 2


def test_where_it_is_computed_decides_nothing() -> None:
    base = to_json(CHOSEN)
    assert same_result(base, with_changes(base, {"settings": {"device": "cuda:1", "threads": 3}}))
    assert not same_result(base, with_changes(base, {"settings": {"float32": True}}))
    older = to_json(CHOSEN)
    del older["settings"]["gain"]["orientation"]
    assert same_result(base, older)


def test_an_orientation_that_is_given_replaces_another_one() -> None:
    turned = GainSettings(path=Path("/g.mrc"), rotate_degrees=90, flip="y", orientation="given")
    chosen = replace(CHOSEN, settings=AlignmentSettings(gain=turned))
    as_it_lies = replace(CHOSEN, settings=AlignmentSettings(gain=GainSettings(orientation="given")))
    merged = from_json(with_changes(to_json(chosen), changes(as_it_lies)))
    assert merged.settings.gain == GainSettings(path=Path("/g.mrc"), orientation="given")
    nothing = replace(CHOSEN, flags=Acquisition(), settings=AlignmentSettings())
    assert changes(nothing) == {}


def test_that_there_is_no_gain_reference_replaces_one_and_is_replaced_by_one() -> None:
    """`retry --gain none` where the agent has a gain reference, and `retry --gain FILE` where it has none."""
    file, none = GainSettings(path=Path("/g.mrc")), GainSettings(absent=True)
    for before, after in ((file, none), (none, file)):
        base = to_json(replace(CHOSEN, settings=AlignmentSettings(gain=before)))
        changed = changes(replace(CHOSEN, settings=AlignmentSettings(gain=after)))
        assert from_json(with_changes(base, changed)).settings.gain == after
        assert not same_result(base, with_changes(base, changed))
