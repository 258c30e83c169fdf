"""`cryoferry watch`, `status` and `retry` as real processes against a real receiver."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

import cryoferry as front_door
from preprocess.simulation import SimulationSettings, simulate_movie
from tests.agents.agent_process import ACQUISITION, QUICK, StartAgent, lay, listing
from tests.running import cryoferry, cryoferry_here
from transfer.client import ReceiverClient
from transfer.file_digest import file_digest
from transfer.upload.sender import Sender
from transfer.wire.protocol import Exposure

SESSION = "s"


def published(url: str, token: str) -> dict[str, Exposure]:
    with ReceiverClient(url, token) as client:
        return {exposure.record.movie: exposure for exposure in client.exposures(SESSION).exposures}


def committed(data: Path) -> Path:
    return data / "sessions" / SESSION / "files"


def check_files(exposure: Exposure, data: Path) -> None:
    """Every file that the record names is there, and is what it names."""
    roles = {str(file.role) for file in exposure.record.files}
    assert roles >= {"micrograph", "motion_star", "results", "thumbnail", "ctf_spectrum", "ctf_plot", "ctf_profile"}
    assert exposure.record.figures["motion_total_angstrom"] > 0
    assert exposure.record.figures["ctf_defocus_u_angstrom"] > 0
    times = [moment for _, moment in exposure.record.times]
    assert None not in times
    assert times == sorted(times)
    assert exposure.record.provenance is not None
    assert exposure.record.provenance.settings_digest is not None
    for file in exposure.record.files:
        if file.revision == 1:
            with (committed(data) / file.path).open("rb") as content:
                assert file_digest(content.fileno(), file.size_bytes) == file.digest


def tell(result: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_whole_way_with_movies_of_one_stem_and_bad_ones_between(
    source: Path, simulated: Path, tmp_path: Path, receiver: Any, start_agent: StartAgent
) -> None:
    token = receiver.token("agent", SESSION)
    lay(simulated / "0.tiff", source / "one/a.tiff")
    lay(simulated / "1.mrc", source / "two/a.mrc")
    lay(simulated / "2.tiff", source / "odd name: 1;.tiff")
    whole = (simulated / "3.tiff").read_bytes()
    (source / "truncated.tiff").write_bytes(whole[: len(whole) // 2])
    (source / "empty.mrc").touch()
    strip = bytearray(whole)
    strip[20_000:20_400] = bytes(400)
    (source / "corrupt.tiff").write_bytes(strip)
    (source / "notes.txt").write_text("not a movie")
    before = listing(source)
    agent = start_agent(receiver.url, token, "--give-up-seconds", "1", "--exit-when-idle", "1")
    assert agent.wait() == 3
    assert listing(source) == before

    assert agent.states() == {
        "one/a.tiff": ("released", 1),
        "two/a.mrc": ("released", 1),
        "odd name: 1;.tiff": ("released", 1),
        "truncated.tiff": ("failed", 1),
        "empty.mrc": ("failed", 1),
        "corrupt.tiff": ("failed", 1),
    }
    assert "empty" in agent.line("empty.mrc", "failed")["reason"]
    assert "UnreadableMovie" in agent.line("corrupt.tiff", "failed")["reason"]
    assert agent.lines[-1]["summary"]["released"] == 3
    exposures = published(receiver.url, token)
    assert set(exposures) == {"one/a.tiff", "two/a.mrc", "odd name: 1;.tiff"}
    for exposure in exposures.values():
        check_files(exposure, receiver.data)
    assert (committed(receiver.data) / "one/a.mrc").is_file()
    assert (committed(receiver.data) / "two/a.mrc").is_file()
    assert (committed(receiver.data) / "odd name=3A 1=3B.mrc").is_file()
    assert not (tmp_path / "work/exposures").exists() or not any((tmp_path / "work/exposures").iterdir())

    assert "\nsource: the last scan looked at 6 movies, and the journal has them all\n" in agent.log.read_text()
    checked = cryoferry("status", "--work", str(tmp_path / "work"), "--check", "--json", CRYOFERRY_TOKEN=token)
    assert (checked.returncode, len(tell(checked))) == (0, 1), checked.stdout
    assert {key: tell(checked)[0][key] for key in ("movies", "entered", "sent", "published")} == {
        "movies": 6,
        "entered": 6,
        "sent": 3,
        "published": 3,
    }

    status = cryoferry("status", "--work", str(tmp_path / "work"), "--all", "--json", CRYOFERRY_TOKEN=token)
    assert status.returncode == 0, status.stderr
    *rows, last = tell(status)
    assert {row["movie"]: row["state"] for row in rows} == {
        movie: state for movie, (state, _) in agent.states().items()
    }
    assert last["counts"] == agent.lines[-1]["summary"]
    assert (last["agent_runs"], last["troubles"], last["receiver"]) == (False, [], "read")
    assert (last["movies_sent"], last["exposure_count"], last["listed"]) == (3, 3, 6)
    table = cryoferry("status", "--work", str(tmp_path / "work"), "--all", CRYOFERRY_TOKEN=token)
    assert "one/a.tiff" in table.stdout
    assert "UnreadableMovie" in table.stdout


def test_an_overwritten_movie_and_a_retry_become_next_revisions(
    source: Path, simulated: Path, tmp_path: Path, receiver: Any, start_agent: StartAgent
) -> None:
    token, work = receiver.token("agent", SESSION), str(tmp_path / "work")
    lay(simulated / "0.tiff", source / "a.tiff")
    agent = start_agent(receiver.url, token)
    agent.wait_for(a_tiff="released")
    first = published(receiver.url, token)["a.tiff"].record
    lay(simulated / "2.tiff", source / "a.tiff")
    agent.wait_for(a_tiff="released", revision=2)
    second = published(receiver.url, token)["a.tiff"].record
    assert (first.exposure_id, first.revision, second.revision) == (second.exposure_id, 1, 2)
    assert {file.revision for file in second.files} == {2}
    with mrcfile.open(committed(receiver.data) / "a.mrc", permissive=True) as kept:
        assert kept.data.shape == (256, 256)  # the first one is still there under its name

    same = cryoferry("retry", "--work", work, "a.tiff")
    assert same.returncode == 2
    assert "would give the same result" in same.stderr
    unknown = cryoferry("retry", "--work", work, "b.tiff", "--bin", "2")
    assert unknown.returncode == 2
    assert "no exposure is named b.tiff" in unknown.stderr
    would = cryoferry("retry", "--work", work, "a.tiff", "--bin", "2", "--even-odd", "--dry-run", "--json")
    assert tell(would)[0]["done"] is False
    retried = cryoferry("retry", "--work", work, "--all", "--bin", "2", "--even-odd", "--json")
    assert retried.returncode == 0, retried.stderr
    assert tell(retried)[0]["revision"] == 3
    agent.wait_for(a_tiff="released", revision=3)
    third = published(receiver.url, token)["a.tiff"].record
    assert third.revision == 3
    assert third.micrograph_width_px == 128
    revisions = {str(file.role): file.revision for file in third.files}
    assert revisions["micrograph"] == 3
    assert revisions["micrograph_even"] == 1  # the first file of that name
    again = cryoferry("retry", "--work", work, "a", "--bin", "2", "--even-odd")
    assert again.returncode == 2
    (none,) = tell(cryoferry("retry", "--work", work, "--all", "--bin", "2", "--even-odd", "--json"))
    assert none["summary"]["done_already"] == 1
    assert agent.end(signal.SIGINT) == 130


def test_what_was_held_back_goes_on_once_a_setting_decides(
    source: Path, simulated: Path, tmp_path: Path, receiver: Any, start_agent: StartAgent
) -> None:
    token, work = receiver.token("agent", SESSION), str(tmp_path / "work")
    gain = tmp_path / "gain.mrc"
    with mrcfile.new(gain) as file:
        file.set_data(np.ones((17, 17), np.float32))
    lay(simulated / "0.tiff", source / "a.tiff")
    agent = start_agent(receiver.url, token, "--gain", str(gain))
    agent.wait_for(a_tiff="held")
    assert "GainMismatch" in agent.line("a.tiff", "held")["reason"]
    with mrcfile.new(gain, overwrite=True) as file:
        file.set_data(np.ones((256, 256), np.float32))
    assert cryoferry("retry", "--work", work, "--failed").returncode == 0
    agent.wait_for(a_tiff="released")
    assert published(receiver.url, token)["a.tiff"].record.revision == 1
    assert agent.end(signal.SIGTERM) == 0


def test_the_agent_starts_before_the_receiver_and_outlasts_its_absence(
    source: Path, simulated: Path, tmp_path: Path, receiver_process: Any, start_agent: StartAgent
) -> None:
    token = receiver_process.token("agent", SESSION)
    lay(simulated / "0.tiff", source / "a.tiff")
    agent = start_agent(receiver_process.url, token)
    agent.wait_for(a_tiff="aligned")
    status = cryoferry("status", "--work", str(tmp_path / "work"), "--json", CRYOFERRY_TOKEN=token)
    *_, last = tell(status)
    assert last["agent_runs"]
    assert "receiver: LinkLost" in last["troubles"][0]
    assert "LinkLost" in last["receiver"]
    receiver_process.start()
    agent.wait_for(a_tiff="released")
    receiver_process.kill()
    lay(simulated / "1.mrc", source / "b.mrc")
    agent.wait_for(b_mrc="aligned")
    receiver_process.start()
    agent.wait_for(b_mrc="released")
    assert set(published(receiver_process.url, token)) == {"a.tiff", "b.mrc"}


def test_a_movie_that_changes_while_it_is_aligned_settles_again(
    source: Path, simulated: Path, receiver: Any, start_agent: StartAgent
) -> None:
    token = receiver.token("agent", SESSION)
    lay(simulated / "0.tiff", source / "a.tiff")
    agent = start_agent(receiver.url, token)
    agent.wait_for(a_tiff="finished")
    lay(simulated / "2.tiff", source / "a.tiff")  # the worker has only just been started
    agent.wait_for(a_tiff="released")
    told = [line["reason"] for line in agent.lines if line.get("state") == "found"]
    assert told == ["", "the movie changed after it was finished"]
    record = published(receiver.url, token)["a.tiff"].record
    assert record.revision == 1
    with mrcfile.open(committed(receiver.data) / "a.mrc", permissive=True) as sent:
        assert sent.data.shape == (256, 256)


def test_a_wrong_token_ends_at_once(source: Path, receiver: Any, start_agent: StartAgent) -> None:
    agent = start_agent(receiver.url, "cf_wrong_token")
    assert agent.wait() == 7
    assert "cryoferry token create" in agent.log.read_text()
    assert "cf_wrong_token" not in agent.log.read_text()


@pytest.mark.parametrize("case", ["missing source", "work in source", "second agent", "other session"])
def test_what_cannot_work_is_said_at_the_start(
    case: str, source: Path, tmp_path: Path, receiver: Any, start_agent: StartAgent
) -> None:
    token, work, session = receiver.token(), tmp_path / "work", SESSION
    expected = 2
    if case == "missing source":
        source, expected = tmp_path / "nothing", 4
    elif case == "work in source":
        work = source / "work"
    elif case == "second agent":
        agent = start_agent(receiver.url, token)
        agent.until((work / "journal.sqlite").exists, "journal")
    else:
        assert start_agent(receiver.url, token, "--exit-when-idle", "0").wait() == 0
        session = "t"
    arguments = ("watch", str(source), "--work", str(work), "--to", receiver.url, "--session", session, *ACQUISITION)
    refused = cryoferry(*arguments, CRYOFERRY_TOKEN=token)
    assert refused.returncode == expected, refused.stderr
    assert "what to do" in refused.stderr
    assert not any(source.iterdir()) if source.exists() else True


def test_a_dry_run_tells_and_does_nothing(source: Path, simulated: Path, tmp_path: Path) -> None:
    lay(simulated / "0.tiff", source / "FoilHole_1_Data_2_fractions.tiff")
    (source / "FoilHole_1_Data_2_gain.tiff").touch()
    lay(simulated / "0.tiff", source / "b.tiff")
    (source / "empty.mrc").touch()
    (source / "LMM.mrc").write_bytes(bytes(1024))
    (source / "LMM.mrc.mdoc").write_text("[ZValue = 0]\nPieceCoordinates = 0 0 0\n")
    work = tmp_path / "work"
    told = cryoferry(
        *("watch", str(source), "--work", str(work), "--to", "http://127.0.0.1:9", "--session", "s"),
        *("--dry-run", "--json", *ACQUISITION),
    )
    assert told.returncode == 0, told.stderr
    assert "1 would be aligned and sent, 1 would wait, 1 would be held back" in told.stderr
    plans = {plan["movie"]: plan for plan in tell(told)}
    assert plans["FoilHole_1_Data_2_fractions.tiff"]["gain"].endswith("_gain.tiff")
    assert plans["FoilHole_1_Data_2_fractions.tiff"]["layout"] == "epu"
    assert plans["FoilHole_1_Data_2_fractions.tiff"]["would"] == "hold"
    assert "gain.tiff cannot be read" in plans["FoilHole_1_Data_2_fractions.tiff"]["reason"]
    assert plans["b.tiff"]["would"] == "align and send"
    assert plans["b.tiff"]["acquisition"]["sources"]["voltage_kv"] == "flag"
    assert (plans["empty.mrc"]["would"], plans["empty.mrc"]["layout"]) == ("wait", "")
    assert plans["FoilHole_1_Data_2_gain.tiff"]["would"] == "skip"
    assert plans["LMM.mrc"] == {"movie": "LMM.mrc", "would": "skip", "reason": "a montage of SerialEM, by its mdoc"}
    assert not work.exists()


def test_a_dry_run_says_which_movies_would_wait_for_a_gain_reference(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = simulate_movie(SimulationSettings(height=64, width=64, frame_count=3, seed=1, gain=False))
    made.write(source / "a.eer")

    def plan(*options: str) -> dict[str, Any]:
        watch = ("watch", str(source), "--work", str(tmp_path / "work"), "--to", "http://127.0.0.1:9", "--session", "s")
        told = cryoferry_here(monkeypatch, capsys, *watch, "--dry-run", "--json", *ACQUISITION, *options)
        assert told.returncode == 0, told.stderr
        return tell(told)[0]

    waits = plan("--gain-wait", "60")
    assert waits["would"] == "wait"
    assert "for up to 60 s" in waits["reason"]
    assert plan("--gain", "none")["would"] == "align and send"
    held = plan("--require-gain")
    assert (held["would"], "--require-gain" in held["reason"]) == ("hold", True)


def test_a_dry_run_with_patterns(source: Path, simulated: Path, tmp_path: Path) -> None:
    for name in ("a_frames.tiff", "a.tiff", "tests/b_frames.tiff"):
        lay(simulated / "0.tiff", source / name)
    told = cryoferry(
        *("watch", str(source), "--work", str(tmp_path / "work"), "--to", "http://127.0.0.1:9", "--session", "s"),
        *("--layout", "flat", "--movies", "*_frames.tiff", "--exclude", "tests/*", "--dry-run"),
    )
    assert told.returncode == 0, told.stderr
    first, *rows, last = told.stdout.splitlines()
    assert first == "would hold: a_frames.tiff"
    assert rows[0] == "  layout      flat"
    assert rows[-2].startswith("  because     the voltage and the dose of the movie are not known")
    assert rows[-1].startswith("  what to do  Give --voltage")
    assert last == "would skip in all: 1 × excluded by --exclude; 1 × its name fits no pattern of --movies"


def test_a_file_that_is_named_and_not_there_is_an_error_at_once(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--gain", "--defects"):
        watch = ("watch", source, "--to", "http://127.0.0.1:9", "--session", "s", "--work", tmp_path / "work")
        told = cryoferry_here(monkeypatch, capsys, *watch, option, tmp_path / "gone.mrc")
        assert told.returncode == 2
        assert "gone.mrc: No such file" in told.stderr
    assert not (tmp_path / "work").exists()


def test_the_start_says_what_is_watched_and_which_settings_hold(source: Path, tmp_path: Path, receiver: Any) -> None:
    file = tmp_path / "cryoferry.toml"
    file.write_text(
        f'[align]\nvoltage = 200\n[watch]\nto = "{receiver.url}"\n[send]\ntoken_file = "{tmp_path}/token"\n'
    )
    (tmp_path / "token").write_text(receiver.token("agent", SESSION))
    arguments = ("watch", str(source), "--session", SESSION, "--work", str(tmp_path / "work"), "--exit-when-idle", "0")
    done = cryoferry("--config", str(file), *arguments, CRYOFERRY_WATCH__LIMIT="3MB/s")
    assert done.returncode == 0, done.stderr
    told = [line.strip() for line in done.stderr.splitlines()]
    assert f"Watching {source}, layout auto." in told
    assert f"Sending to {receiver.url}, session s. Work folder: {tmp_path / 'work'}." in told
    for line in (
        f"voltage = 200.0  (from `voltage` in [align] of {file})",
        f"to = {receiver.url}  (from `to` in [watch] of {file})",
        f"token_file = {tmp_path}/token  (from `token_file` in [send] of {file})",
        "limit = 3MB/s  (from the environment variable CRYOFERRY_WATCH__LIMIT)",
        "exit_when_idle = 0.0  (from --exit-when-idle)",
    ):
        assert line in told
    assert not [line for line in told if line.startswith(("settle_seconds", "session =", "ca ", "json"))]


def test_the_link_s_options_reach_what_sends(
    source: Path, simulated: Path, tmp_path: Path, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, so that what the sender gets can be seen."""
    made: list[dict[str, Any]] = []
    priorities: dict[str, str] = {}
    make, send_many = Sender.__init__, Sender.send_many

    def watched_init(self: Sender, *arguments: Any, **options: Any) -> None:
        made.append(options)
        make(self, *arguments, **options)

    def watched_send(self: Sender, files: Any, **options: Any) -> Any:
        priorities.update({Path(file.path).suffix: file.priority.name for file in files})
        return send_many(self, files, **options)

    monkeypatch.setattr(Sender, "__init__", watched_init)
    monkeypatch.setattr(Sender, "send_many", watched_send)
    monkeypatch.setenv("CRYOFERRY_TOKEN", receiver.token("agent", SESSION))
    lay(simulated / "0.tiff", source / "a.tiff")
    arguments = (
        *("watch", str(source), "--session", SESSION, "--work", str(tmp_path / "work"), "--to", receiver.url),
        *("--compress", "never", "--congestion-control", "system", "--background", "*.png", "--connections", "3"),
        *("--exit-when-idle", "1", *QUICK, *ACQUISITION),
    )
    monkeypatch.setattr("sys.argv", ["cryoferry", *arguments])
    with pytest.raises(SystemExit) as ended:
        front_door.main()
    assert ended.value.code == 0
    (options,) = made
    assert (options["may_compress"], options["may_use_bbr"], options["connections"]) == (False, False, 3)
    assert priorities[".png"] == "BACKGROUND"
    assert priorities[".mrc"] == "FOREGROUND"
    assert set(published(receiver.url, receiver.token("reader", SESSION))) == {"a.tiff"}


def test_clear_text_to_another_machine_is_for_the_user_to_permit(source: Path, tmp_path: Path) -> None:
    to = ("--to", "http://receiver.invalid", "--session", SESSION, "--work", str(tmp_path / "work"))
    refused = cryoferry("watch", str(source), *to, "--exit-when-idle", "0", CRYOFERRY_TOKEN="cf_x")
    assert (refused.returncode, "--clear-text" in refused.stderr) == (2, True)
    permitted = cryoferry("watch", str(source), *to, "--exit-when-idle", "0", "--clear-text", CRYOFERRY_TOKEN="cf_x")
    assert permitted.returncode == 0, permitted.stderr
    work = ("--work", str(tmp_path / "work"), "--json")
    last = tell(cryoferry("status", *work, CRYOFERRY_TOKEN="cf_x"))[-1]
    assert "LinkLost" in last["receiver"], "the journal notes that clear text is permitted"
