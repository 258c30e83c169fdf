"""`cryoferry send` and `cryoferry session` as a user runs them: output, exit codes, and what they never do."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from chaos_proxy import ChaosProxy

import cryoferry as front_door
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.commands.planned_files import plan
from transfer.connections.tcp import congestion_control
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import BadName, SourceUnreadable

LARGE = 2 * CHUNK_BYTES + 1


@pytest.fixture
def token(receiver):
    return receiver.token("agent", "grid1")


@pytest.fixture
def cryoferry(tmp_path, token, monkeypatch, capsys):
    """Run the front door in this process; return exit code, text on stdout and stderr, and JSON objects."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, token=token):
        monkeypatch.setattr(sys, "argv", ["cryoferry", *map(str, arguments)])
        monkeypatch.setenv("CRYOFERRY_TOKEN", token or "")
        with pytest.raises(SystemExit) as ended:
            front_door.main()
        told = capsys.readouterr()
        assert not token or token not in told.out + told.err
        objects = [json.loads(line) for line in told.out.splitlines()] if "--json" in arguments else None
        return SimpleNamespace(returncode=ended.value.code or 0, stdout=told.out, stderr=told.err, objects=objects)

    return run


@pytest.fixture
def folder(tmp_path):
    """A folder with small and large files below it, and what must not travel."""
    top = tmp_path / "run1"
    for name, size_bytes in {"a.mrc": LARGE, "b.json": 100, "deep/er/a.mrc": 0, ".hidden": 5, ".cache/x": 5}.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(os.urandom(size_bytes))
    return top


def stored(receiver):
    top = receiver.data / "sessions" / "grid1" / "files"
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_files_and_folders_are_sent_and_sent_again_for_nothing(receiver, cryoferry, folder):
    (folder.parent / "single.star").write_bytes(b"data_")
    to = ("--to", receiver.url, "--session", "grid1", "--json")
    done = cryoferry("send", folder, "single.star", *to)
    assert done.returncode == 0, done.stderr
    *receipts, total = done.objects
    names = {"run1/a.mrc", "run1/b.json", "run1/deep/er/a.mrc", "single.star"}
    assert {receipt["path"] for receipt in receipts} == set(stored(receiver)) == names
    assert stored(receiver)["run1/a.mrc"] == (folder / "a.mrc").read_bytes()
    with ReceiverClient(receiver.url, receiver.token()) as client:
        listed = {receipt.path: receipt.model_dump() for receipt in client.files("grid1")}
    for receipt in receipts:
        assert receipt.pop("source").endswith(receipt["path"])
        assert receipt == listed[receipt["path"]]
    size_bytes = LARGE + 100 + 5
    assert (total["files"], total["failed"], total["bytes"], total["sent_bytes"]) == (4, 0, size_bytes, size_bytes)
    assert total["rate_bytes_per_s"] == pytest.approx(size_bytes / total["seconds"])
    if hasattr(socket, "TCP_CONGESTION"):
        with socket.socket() as own:
            default = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
        assert total["congestion_control"] == default

    again = cryoferry("send", folder, "single.star", *to)
    assert again.returncode == 0
    assert (again.objects[-1]["files"], again.objects[-1]["sent_bytes"]) == (4, 0)


def test_some_that_fail_do_not_keep_the_others(receiver, cryoferry, folder):
    to = ("--to", receiver.url, "--session", "grid1", "--path-prefix", "day 1/raw", "--json")
    assert cryoferry("send", folder, *to).returncode == 0
    (folder / "a.mrc").write_bytes(b"other")
    (folder / "new.mrc").write_bytes(b"new")
    done = cryoferry("send", folder, *to)
    assert done.returncode == 3
    (failed,) = [told for told in done.objects if "error" in told]
    assert (failed["path"], failed["error"]["type"]) == ("day 1/raw/run1/a.mrc", "NameTaken")
    assert "as the next revision" in failed["error"]["hint"]
    assert "what to do" in done.stderr
    assert (done.objects[-1]["files"], done.objects[-1]["failed"]) == (3, 1)
    assert stored(receiver)["day 1/raw/run1/new.mrc"] == b"new"
    only = cryoferry("send", folder / "a.mrc", *to[:-3], "--path-prefix", "day 1/raw/run1", "--json")
    assert only.returncode == 1
    corrected = cryoferry(
        "send", folder / "a.mrc", *to[:-3], "--path-prefix", "day 1/raw/run1", "--revision", 2, "--json"
    )
    assert (corrected.returncode, corrected.objects[0]["revision"]) == (0, 2)


def test_a_dry_run_needs_no_token_and_no_receiver(cryoferry, folder):
    to = ("--to", "https://receiver.invalid", "--session", "grid1", "--dry-run")
    done = cryoferry("send", folder, *to, "--json", token=None)
    assert done.returncode == 0, done.stderr
    assert {told["path"]: told["size_bytes"] for told in done.objects} == {
        "run1/a.mrc": LARGE,
        "run1/b.json": 100,
        "run1/deep/er/a.mrc": 0,
    }
    assert "would send" in cryoferry("send", folder, *to, token=None).stdout


REFUSED = {
    "clear text": (["file", "--to", "http://receiver.invalid"], 2, "https://receiver.invalid"),
    "two of one name": (["file", "other/file", "--to", "{url}"], 2, "both be named"),
    "a name that cannot travel": (["file", "--to", "{url}", "--path-prefix", "../up"], 2, ".."),
    "a session that cannot be": (["file", "--to", "{url}", "--session", "../up"], 2, "session"),
    "no such file": (["nothing", "--to", "{url}"], 4, "nothing"),
    "a session of others": (["file", "--to", "{url}", "--session", "grid2"], 7, "token"),
    "nobody there": (["file", "--to", "http://127.0.0.1:{closed}", "--give-up-after", "0.2"], 5, "refused"),
}


def test_http_to_another_machine_is_taken_only_when_the_user_answers_for_the_link(receiver, cryoferry, folder):
    elsewhere = receiver.url.replace("127.0.0.1", "127.0.0.1.nip.invalid")
    refused = cryoferry("send", folder, "--to", elsewhere, "--session", "grid1", "--give-up-after", "0")
    assert (refused.returncode, "--clear-text" in refused.stderr) == (2, True)
    tried = cryoferry("send", folder, "--to", elsewhere, "--session", "grid1", "--give-up-after", "0", "--clear-text")
    assert tried.returncode == 5, "only that name leads nowhere"


def test_bbr_is_not_asked_for_when_the_system_is_to_choose(receiver, cryoferry, folder):
    to = ("--to", receiver.url, "--session", "grid1", "--json")
    done = cryoferry("send", folder, *to, "--congestion-control", "system")
    assert done.returncode == 0, done.stderr
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as plain,
    ):
        assert done.objects[-1]["congestion_control"] == congestion_control(plain)


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_has_its_exit_code_and_says_what_to_do(receiver, cryoferry, tmp_path, case):
    arguments, exit_code, text = case
    (tmp_path / "other").mkdir()
    for name in ("file", "other/file"):
        (tmp_path / name).write_bytes(b"x")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    filled = [argument.format(url=receiver.url, closed=closed) for argument in arguments]
    session = [] if "--session" in arguments else ["--session", "grid1"]
    done = cryoferry("send", *filled, *session)
    assert (done.returncode, done.stdout) == (exit_code, ""), done.stderr
    assert text in done.stderr
    assert "what to do" in done.stderr
    assert stored(receiver) == {}


@pytest.mark.parametrize(("token", "exit_code"), [("cf_wrong000_" + "x" * 43, 7), ("not a token", 7), (None, 2)])
def test_a_token_that_is_not_accepted(receiver, cryoferry, folder, token, exit_code):
    done = cryoferry("send", folder, "--to", receiver.url, "--session", "grid1", token=token)
    assert done.returncode == exit_code
    assert "token" in done.stderr


def test_sessions_are_started_ended_and_opened_again(receiver, cryoferry, tmp_path, token):
    (tmp_path / "token").write_text(token + "\n")
    to = ("grid1", "--to", receiver.url, "--token-file", tmp_path / "token", "--json")
    states = {verb: cryoferry("session", verb, *to, token=None).objects[-1] for verb in ("start", "end", "reopen")}
    assert {verb: told["state"] for verb, told in states.items()} == {"start": "open", "end": "ended", "reopen": "open"}
    assert cryoferry("session", "end", "grid2", *to[1:], token=None).returncode == 7


def test_an_interrupted_send_says_so_and_continues_the_next_time(receiver, token, cryoferry, tmp_path):
    (tmp_path / "big.mrc").write_bytes(os.urandom(12 * CHUNK_BYTES))
    with ChaosProxy(receiver.port, bytes_per_s=20e6) as proxy:
        how = ["--session", "grid1", "--connections", "1"]
        slowly = ["--to", f"http://127.0.0.1:{proxy.port}", *how]
        command = [sys.executable, "-m", "cryoferry", "send", "big.mrc", *slowly]
        environment = {**os.environ, "CRYOFERRY_TOKEN": token}
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as first:
            wait_until(
                lambda: proxy.sent_bytes >= 1.5 * CHUNK_BYTES, "a chunk and more", alive=lambda: first.poll() is None
            )
            first.send_signal(signal.SIGINT)
            first.communicate()
        assert first.returncode == 130
        assert stored(receiver) == {}
        done = cryoferry("send", "big.mrc", "--to", receiver.url, *how, "--json")
        assert done.returncode == 0
        assert done.objects[-1]["sent_bytes"] <= 11 * CHUNK_BYTES
    assert stored(receiver) == {"big.mrc": (tmp_path / "big.mrc").read_bytes()}


def test_a_plan_names_every_file_once(tmp_path, folder):
    for written_s, name in enumerate(["deep/er/a.mrc", "b.json", "a.mrc"]):
        os.utime(folder / name, (written_s, written_s))
    planned = plan([folder], "grid1", "/prefix/", 3)
    assert [(file.path, file.revision) for file in planned] == [
        ("prefix/run1/a.mrc", 3),
        ("prefix/run1/b.json", 3),
        ("prefix/run1/deep/er/a.mrc", 3),
    ]
    assert [file.path for file in plan([folder], "grid1", "", 1, background=("a.*",))] == [
        "run1/b.json",
        "run1/a.mrc",
        "run1/deep/er/a.mrc",
    ]
    with pytest.raises(BadName, match="both be named"):
        plan([folder, folder], "grid1", "", 1)
    with pytest.raises(SourceUnreadable):
        plan([tmp_path / "nothing"], "grid1", "", 1)
    (folder / "dangling").symlink_to("nothing")
    with pytest.raises(SourceUnreadable, match="dangling"):
        plan([folder], "grid1", "", 1)
    (folder / "dangling").unlink()
    (folder / "bad\nname").write_bytes(b"")
    with pytest.raises(BadName):
        plan([folder], "grid1", "", 1)


@pytest.mark.parametrize("verb", ["start", "end", "reopen"])
def test_a_session_is_left_alone_by_dry_run_and_by_an_unusable_name(verb, receiver, cryoferry):
    told = cryoferry("session", verb, "grid1", "--to", receiver.url, "--dry-run", "--json")
    assert (told.returncode, told.objects) == (0, [{"would": verb, "session": "grid1", "to": receiver.url}])
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        assert client.sessions() == ()
    refused = cryoferry("session", verb, "../grid1", "--to", receiver.url)
    assert refused.returncode == 2
    assert "'../grid1'" in refused.stderr
