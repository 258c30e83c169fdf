"""An input that comes or changes after its movie was aligned makes one further revision, whatever the state is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from agents.finding.movie_inputs import NamedInputs
from agents.finding.source_access import DirectAccess
from agents.journal.inputs import UsedInput
from agents.journal.states import State
from agents.steps.used_inputs import what_differs
from preprocess.layouts.automatic import AUTO
from tests.agents.finding.found_movies import XML, Found

MOVIE = "data/FoilHole_1_Data_2_fractions.mrc"
INPUTS = {
    "gain": ("data/FoilHole_1_Data_2_gain.mrc", 7, 8),
    "xml": ("data/FoilHole_1_Data_2.xml", XML.format(1), XML.format(2)),
    "mdoc": (f"{MOVIE}.mdoc", "PixelSpacing = 1\n", "PixelSpacing = 2\n"),
    "defects": ("defects.txt", "1 2 3 4\n", "1 2 3 5\n"),
}
AGAIN_AS = {
    State.RELEASED: 2,
    State.HELD: 1,
    State.FAILED: 1,
    State.ALIGNED: 1,  # nothing was sent yet
    State.SENDING: 2,
    State.COMMITTED: 2,
}


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Found]:
    found = Found(tmp_path, input_wait_s=0)
    yield found
    found.close()


def begun(found: Found, kind: str) -> None:
    """Write a movie and let it finish; the user names defects."""
    if kind == "defects":
        found.named = NamedInputs(defects=found.source / "defects.txt")
        found.restart()
    found.write(MOVIE, 1)
    found.after(10)


def version(found: Found, kind: str, number: int) -> None:
    name, *contents = INPUTS[kind]
    before = (found.source / name).stat().st_mtime_ns if (found.source / name).exists() else 0
    path = found.write(name, contents[number])
    os.utime(path, ns=(1, before + 1_000_000_000))


def end_of_sending(found: Found, state: State) -> None:
    """If it is being sent, nothing happens until that is over."""
    if state in (State.SENDING, State.COMMITTED):
        assert found.exposure(MOVIE).state == state
        found.advance(MOVIE, State.RELEASED)
        found.after(5)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("state", list(AGAIN_AS))
@pytest.mark.parametrize("kind", list(INPUTS))
def test_an_input_that_comes_and_then_changes(found: Found, kind: str, state: State, restart: bool) -> None:
    begun(found, kind)
    found.align(MOVIE, state)
    for number, happened in enumerate(("came", "changed")):
        if restart:
            found.journal.close()
        version(found, kind, number)
        if restart:
            found.restart()
        found.after(5)
        assert found.exposure(MOVIE).state == state  # it may still be being copied
        found.after(5)
        end_of_sending(found, state)
        again = found.exposure(MOVIE)
        assert (again.state, again.claim_reason) == (State.FOUND, "late-input")
        assert again.reason.endswith(f"{happened} after it had been processed")
        assert again.revision == 1 + (number + 1) * (AGAIN_AS[state] - 1)
        found.after(10)
        found.align(MOVIE, state)
        found.after(60)
        assert found.exposure(MOVIE).state == state


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("kind", list(INPUTS))
def test_a_touched_input_changes_nothing(found: Found, kind: str, restart: bool) -> None:
    begun(found, kind)
    version(found, kind, 0)
    found.align(MOVIE, State.RELEASED, [used_with_digest(found, each) for each in found.begin(MOVIE)])
    found.after(15)
    for time_ns in (10**18, 2 * 10**18):
        os.utime(found.source / INPUTS[kind][0], ns=(time_ns, time_ns))
        if restart:
            found.restart()
        found.after(20)
        assert found.standing(MOVIE) == (State.RELEASED, 1)
    version(found, kind, 1)
    found.after(15)
    assert found.standing(MOVIE)[1] == 2


def used_with_digest(found: Found, used: UsedInput) -> UsedInput:
    """Return an input as the worker completes it: with the digest of the gain reference."""
    return replace(used, digest=blake3((found.source / used.path).read_bytes()).hexdigest())


@pytest.mark.parametrize("kind", list(INPUTS))
def test_an_input_that_comes_before_the_alignment_makes_no_revision(found: Found, kind: str) -> None:
    begun(found, kind)
    version(found, kind, 0)
    found.after(30)
    assert found.standing(MOVIE) == (State.FINISHED, 1)
    found.align(MOVIE, State.RELEASED)
    found.restart()
    found.after(30)
    assert found.standing(MOVIE) == (State.RELEASED, 1)


@pytest.mark.parametrize("kind", list(INPUTS))
def test_a_movie_that_is_gone_stays_as_it_is_and_this_is_said_once(
    found: Found, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun(found, kind)
    found.align(MOVIE, State.RELEASED)
    (found.source / MOVIE).unlink()
    version(found, kind, 0)
    for _ in range(2):
        found.after(30)
        found.restart()
    assert found.standing(MOVIE) == (State.RELEASED, 1)
    assert [record.message for record in caplog.records if "the movie is gone" in record.message] == [
        f"{MOVIE}: its {found.journal.inputs.of(found.exposure(MOVIE).exposure_id)[0].kind.in_words} {INPUTS[kind][0]}"
        " came or changed after it had been processed, but the movie is gone: it stays as it is"
    ]


def test_one_input_of_many_exposures(found: Found) -> None:
    names = [f"grid/{number}/a_EER.eer" for number in range(4)]
    for number, name in enumerate(names):
        found.write("x.mrc", number).rename(found.write(name, b""))
    found.after(10)
    for name, state in zip(names, (State.RELEASED, State.SENDING, State.HELD, State.FINISHED), strict=True):
        if state != State.FINISHED:
            found.align(name, state)
    found.write("session.gain", b"the gain reference")
    found.after(15)
    assert [found.standing(name)[1] for name in names] == [2, 1, 1, 1]
    assert found.exposure(names[1]).state == State.SENDING
    found.advance(names[1], State.RELEASED)
    found.after(20)
    for name in names:
        found.align(name, State.RELEASED)
    found.after(30)
    assert [found.standing(name) for name in names] == [(State.RELEASED, revision) for revision in (2, 2, 1, 1)]
    found.write("session.gain", b"the right gain reference")
    found.after(30)
    assert [found.standing(name) for name in names] == [(State.FINISHED, revision) for revision in (3, 3, 2, 2)]


def test_a_gain_reference_that_an_mdoc_names_may_come_into_another_folder(found: Found) -> None:
    name = "frames/a.mrcs"
    found.write(name, 1)
    found.write("frames/a.mrcs.mdoc", "[FrameSet = 0]\nGainReference = X:\\SuperRef_a.mrc\n")
    found.write("elsewhere/b.mrcs", 2)
    found.after(920)  # it waits for it, in vain
    for each in (name, "elsewhere/b.mrcs"):
        found.align(each, State.RELEASED)
    found.write("gain/SuperRef_a.mrc", 1)
    found.after(15)
    assert [found.standing(each)[1] for each in (name, "elsewhere/b.mrcs")] == [2, 1]
    assert found.begin(name)[0].path == "gain/SuperRef_a.mrc"


def test_an_input_of_another_movie_or_of_none_changes_nothing(found: Found) -> None:
    begun(found, "xml")
    found.align(MOVIE, State.RELEASED)
    for name in ("data/FoilHole_1_Data_21.xml", "data/GridSquare_1.xml", "other/FoilHole_1_Data_2.xml"):
        found.write(name, XML.format(1))
    found.write("data/FoilHole_1_Data_2.xml", "<MicroscopeImage")  # half a file
    found.write("other/gain.mrc", 1)
    found.after(30)
    assert found.standing(MOVIE) == (State.RELEASED, 1)
    version(found, "xml", 1)
    found.after(15)
    assert found.standing(MOVIE)[1] == 2


@pytest.mark.parametrize("has_gain", [0, 1, None])
def test_of_an_older_agents_exposures_only_those_without_gain_begin_again(found: Found, has_gain: int | None) -> None:
    begun(found, "gain")
    found.advance(MOVIE, State.RELEASED)
    found.journal._db.execute("UPDATE exposures SET has_gain = ?, sampled_digest = 'known'", (has_gain,))
    version(found, "gain", 0)
    version(found, "xml", 0)
    found.after(15)
    assert found.standing(MOVIE)[1] == (2 if has_gain == 0 else 1)


def test_a_movie_that_failed_before_its_alignment_waits_for_no_input(found: Found) -> None:
    found.write(MOVIE, b"no movie")
    found.after(120)
    assert found.exposure(MOVIE).state == State.FAILED
    version(found, "xml", 0)
    found.after(30)
    assert found.exposure(MOVIE).state == State.FAILED


def test_inputs_at_rest_take_turns_and_a_change_is_seen_all_the_same(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(found, "xml")
    version(found, "xml", 0)
    found.align(MOVIE, State.RELEASED)
    for number in range(40):
        found.write(f"data/GridSquare_{number}.xml", XML.format(1))
    found.after(30)
    monkeypatch.setattr("agents.finding.scan.LOOKS_AT_REST", 4)
    looked_at: list[set[str]] = []
    monkeypatch.setattr(found.discovery._late_inputs, "take_in", lambda inputs: looked_at.append(set(inputs)))
    for _ in range(12):
        found.discovery.scan_once()
    assert max(map(len, looked_at)) < 20
    assert len(set().union(*looked_at)) == 41
    monkeypatch.undo()
    version(found, "xml", 1)
    found.after(20)
    assert found.standing(MOVIE)[1] == 2


TILTS = [f"frames/TS_01_{number:03d}_{angle}.mrc" for number, angle in enumerate((0.0, 3.0, -3.0, 6.0))]


def series(count: int, dose: float = 2.0) -> str:
    """Return the mdoc of a tilt series after so many tilts."""
    sections = (
        f"[ZValue = {number}]\nTiltAngle = {name[14:-4]}\nExposureDose = {dose}\nSubFramePath = D:\\{name[7:]}\n"
        for number, name in enumerate(TILTS[:count])
    )
    return "[T = Tilt axis angle = 85.3 dosym = 0.0]\n" + "".join(sections)


@pytest.mark.parametrize("folder", ["", "frames/"])
@pytest.mark.parametrize("restart", [False, True])
def test_the_section_of_a_tilt_comes_after_its_movie(found: Found, folder: str, restart: bool) -> None:
    mdoc = f"{folder}TS_01.mrc.mdoc"
    for count, name in enumerate(TILTS, 1):
        found.write(name, count)
        found.after(10)
        found.align(name, State.RELEASED)  # its section is not there yet
        found.write(mdoc, series(count))
        if restart:
            found.restart()
        found.after(15)
        assert found.standing(name) == (State.FOUND, 2), "and no other one"
        assert found.exposure(name).reason == "its metadata file came after it had been processed"
        found.after(10)
        (used,) = found.begin(name)
        assert used.path == mdoc
        found.align(name, State.RELEASED)
        assert {found.standing(each) for each in TILTS[:count]} == {(State.RELEASED, 2)}
    found.write(mdoc, series(4, dose=3.0))
    found.after(15)
    assert {found.standing(each) for each in TILTS} == {(State.FOUND, 3)}, "somebody corrected it"


def test_a_series_that_grows_delays_no_tilt(tmp_path: Path) -> None:
    found = Found(tmp_path, input_wait_s=300)
    for count, name in enumerate(TILTS, 1):
        found.write("TS_01.mdoc", series(count))
        found.write(name, count)
        found.after(10)
        assert found.exposure(name).state == State.FINISHED
    before = DirectAccess(found.source, AUTO).inputs(found.source / TILTS[0], NamedInputs())
    found.write("TS_01.mdoc", series(2))
    after = DirectAccess(found.source, AUTO).inputs(found.source / TILTS[0], NamedInputs())
    assert what_differs(before, after) == ""
    assert what_differs([], after) == "its metadata file came while it was aligned"
    found.close()
