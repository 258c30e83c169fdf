"""What the filters of `cryoferry status` mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest

from agents.commands.exposure_filter import MOST_LINES, ExposureFilter, checked_states, parsed_since
from agents.journal.states import State
from configuration import ConfigError

MOVIE = "Images-Disc1/GridSquare_7/Data/FoilHole_42_Data_1_fractions.tiff"


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [("90s", 90), ("30m", 1800), ("30min", 1800), ("2h", 7200), ("1.5 h", 5400), ("1d", 86400), ("1d12h", 129600)],
)
def test_how_long_ago(text: str, ago_s: float) -> None:
    assert parsed_since(text, now_s=1e9) == 1e9 - ago_s


def test_a_time_of_day_is_this_machines_unless_it_names_a_zone() -> None:
    assert parsed_since("2026-01-31T18:30") == datetime(2026, 1, 31, 18, 30).astimezone().timestamp()
    assert parsed_since("2026-01-31 18:30:05Z") == datetime(2026, 1, 31, 18, 30, 5, tzinfo=UTC).timestamp()
    zone = timezone(timedelta(hours=2))
    assert parsed_since("2026-01-31T18:30+02:00") == datetime(2026, 1, 31, 18, 30, tzinfo=zone).timestamp()
    assert parsed_since("2026-01-31") == datetime(2026, 1, 31).astimezone().timestamp()
    assert parsed_since(None) is None


def test_a_time_before_all_others_can_be_said_too() -> None:
    for text in ("9999999999d", f"{'9' * 400}d", "1900-01-01"):
        since = parsed_since(text)
        assert since == 0.0
        assert "changed since 1970" in ExposureFilter(since=86400.0 + since).in_words()


@pytest.mark.parametrize("text", ["", "90", "h", "2 fortnights", "2h30x", "-1h", "yesterday", "2026-13-01", "1e400d"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a time") as refused:
        parsed_since(text)
    assert "2h" in refused.value.hint


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("FoilHole_42", True),
        ("GridSquare_7/Data", True),
        ("foilhole", False),
        ("FoilHole_43", False),
        ("FoilHole_*", True),
        ("Data/FoilHole_*", False),
        ("*/Data/FoilHole_*", True),
        ("*_4[23]_*", True),
        ("*_4[!2]_*", False),
        ("FoilHole_??_*.tiff", True),
        ("*", True),
        ("", True),
    ],
)
def test_a_pattern_is_a_part_of_the_path_or_a_glob(pattern: str, fits: bool) -> None:
    fitting = ExposureFilter(pattern=pattern).fits()
    assert (fitting is None or fitting(MOVIE)) is fits


def test_an_exposure_id_is_known_as_one() -> None:
    exposure_id = str(uuid4())
    assert ExposureFilter(pattern=exposure_id.upper()).exposure_id() == exposure_id
    assert ExposureFilter(pattern="FoilHole_42").exposure_id() == ""


@pytest.mark.parametrize(
    "wanted", [{"failed": True}, {"states": ("x",)}, {"since": 0.0}, {"pattern": "a"}, {"most": 3}]
)
def test_every_filter_asks_for_a_list(wanted: dict[str, object]) -> None:
    assert ExposureFilter(**wanted).is_asked_for  # type: ignore[arg-type]
    assert ExposureFilter(everything=True).is_asked_for
    assert not ExposureFilter().is_asked_for


def test_a_list_is_short_unless_more_is_wanted() -> None:
    assert ExposureFilter(failed=True).most_lines(as_json=False) == MOST_LINES
    assert ExposureFilter(failed=True).most_lines(as_json=True) is None
    assert ExposureFilter(everything=True).most_lines(as_json=False) is None
    assert ExposureFilter(everything=True, most=7).most_lines(as_json=False) == 7


def test_a_wrong_state_names_the_nearest_one() -> None:
    assert checked_states([" Released", "held"], State) == [State.RELEASED, State.HELD]
    with pytest.raises(ConfigError, match="no state 'relased'") as refused:
        checked_states(["relased"], State)
    assert "Did you mean released?" in refused.value.hint
    with pytest.raises(ConfigError) as refused:
        checked_states(["xyzzy"], State)
    assert "Did you mean" not in refused.value.hint
    assert "found, finished" in refused.value.hint
