"""Every default is said once: what an option says is what the class that takes it says, and its help shows it."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from typing import Any

import pytest

from agents.daemon import WatchSettings
from agents.demo.plan import DemoPlan
from api.settings import ReceiverSettings
from cryoferry import _all_commands
from preprocess.commands.options import chosen_alignment
from preprocess.exposure.acquisition import Acquisition
from preprocess.settings import AlignmentSettings
from preprocess.simulation.settings import SimulationSettings
from transfer.download.fetcher import Fetcher
from transfer.upload.sender import Sender

PAIRS: dict[tuple[str, type], dict[str, str]] = {
    ("watch", WatchSettings): {
        "settle_seconds": "settle_s",
        "give_up_seconds": "give_up_s",
        "input_wait": "input_wait_s",
        "gain_wait": "gain_wait_s",
        "scan_seconds": "scan_s",
        "align_timeout": "align_timeout_s",
        "keep_outputs": "keep_outputs",
        "work_reserve_bytes": "work_reserve_bytes",
        "connections": "connections",
        "exit_when_idle": "exit_when_idle_s",
    },
    ("send", Sender): {"connections": "connections", "give_up_after": "give_up_after_s"},
    ("fetch", Fetcher): {"connections": "connections", "give_up_after": "give_up_after_s"},
    ("serve", ReceiverSettings): {
        "database": "database",
        "reserve_bytes": "reserve_bytes",
        "max_file_bytes": "max_file_bytes",
        "body_timeout": "body_timeout_s",
        "max_open_uploads": "max_open_uploads",
    },
    ("simulate", SimulationSettings): {
        "frames": "frame_count",
        "dose_per_frame": "dose_per_frame_e_per_a2",
        "pixel_size": "pixel_size_angstrom",
        "voltage": "voltage_kv",
        "motion": "motion_px",
        "local_motion": "local_motion_px",
        "gain": "gain",
        "seed": "seed",
    },
}


def defaults_of(kind: type) -> dict[str, Any]:
    """Return the defaults of a class's parameters."""
    parameters = inspect.signature(kind).parameters
    found = {name: parameter.default for name, parameter in parameters.items()}
    for field in fields(kind) if hasattr(kind, "__dataclass_fields__") else ():
        if field.default_factory is not MISSING:
            found[field.name] = field.default_factory()
    return found


def options_of(section: str) -> dict[str, Any]:
    return {option.name: option.default for option in _all_commands()[section].params}


@pytest.mark.parametrize(("section", "kind"), PAIRS, ids=lambda value: getattr(value, "__name__", value))
def test_an_option_s_default_is_that_of_what_it_sets(section: str, kind: type) -> None:
    options, defaults = options_of(section), defaults_of(kind)
    pairs = PAIRS[section, kind]
    assert {name: options[name] for name in pairs} == {name: defaults[field] for name, field in pairs.items()}


def test_alignment_s_options_leave_the_settings_as_they_are() -> None:
    chosen = chosen_alignment()
    assert chosen.settings == AlignmentSettings()
    assert chosen.flags == Acquisition()
    assert options_of("simulate")["size"] == str(SimulationSettings().height) == str(SimulationSettings().width)


def test_an_unfinished_upload_expires_after_the_time_that_the_help_shows() -> None:
    text = options_of("serve")["upload_expiry"]
    days = int(text.removesuffix("d"))
    assert days * 86400.0 == defaults_of(ReceiverSettings)["upload_expiry_s"]


def test_the_demo_s_plan_has_no_defaults_of_its_own() -> None:
    assert not [field.name for field in fields(DemoPlan) if field.default is not MISSING]


def test_options_of_several_commands_have_one_default() -> None:
    seen: dict[str, dict[str, Any]] = {}
    for section in ("watch", "send", "align", "ctf", "retry", "status", "doctor", "session.start", "session.end"):
        for name, default in options_of(section).items():
            if not is_required(section, name):
                seen.setdefault(name, {})[section] = default
    different = {name: by for name, by in seen.items() if len({repr(default) for default in by.values()}) > 1}
    assert not different
    assert set(seen["compress"]) == set(seen["background"]) == set(seen["congestion_control"]) == {"watch", "send"}
    assert {"watch", "send", "status", "doctor", "session.start"} <= set(seen["clear_text"])


def is_required(section: str, name: str) -> bool:
    return any(option.required for option in _all_commands()[section].params if option.name == name)
