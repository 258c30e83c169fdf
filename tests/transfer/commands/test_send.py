"""`cryoferry send` as a user runs it: output, exit codes, and what it never does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import unicodedata

import pytest
from chaos_proxy import ChaosProxy

from tests.running import COMMAND
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.connections.tcp import congestion_control
from transfer.wire.chunks import CHUNK_BYTES

LARGE = 2 * CHUNK_BYTES + 1


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
        listed = {file.path: file.receipt.model_dump(mode="json") for file in client.files("grid1")}
    for receipt in receipts:
        assert receipt.pop("source").endswith(receipt["path"])
        assert {**receipt, "is_new": False} == listed[receipt["path"]]
    size_bytes = LARGE + 100 + 5
    assert (total["files"], total["failed"], total["bytes"]) == (4, 0, size_bytes)
    assert total["sent_bytes"] >= size_bytes  # a busy machine may send the end of a file twice
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


@pytest.mark.parametrize(("token", "exit_code"), [("cf_wrong000_" + "x" * 43, 7), ("not a token", 2), (None, 2)])
def test_a_token_that_is_not_accepted(receiver, cryoferry, folder, token, exit_code):
    done = cryoferry("send", folder, "--to", receiver.url, "--session", "grid1", token=token)
    assert done.returncode == exit_code
    assert "token" in done.stderr


def test_an_interrupted_send_says_so_and_continues_the_next_time(receiver, token, cryoferry, tmp_path):
    (tmp_path / "big.mrc").write_bytes(os.urandom(12 * CHUNK_BYTES))
    with ChaosProxy(receiver.port, bytes_per_s=20e6) as proxy:
        how = ["--session", "grid1", "--connections", "1"]
        slowly = ["--to", f"http://127.0.0.1:{proxy.port}", *how]
        command = [*COMMAND, "send", "big.mrc", *slowly]
        environment = {**os.environ, "CRYOFERRY_TOKEN": token}
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as first:
            wait_until(lambda: proxy.sent_bytes >= 4 * CHUNK_BYTES, "some chunks", alive=lambda: first.poll() is None)
            first.send_signal(signal.SIGINT)
            first.communicate()
        assert first.returncode == 130
        assert stored(receiver) == {}
        done = cryoferry("send", "big.mrc", "--to", receiver.url, *how, "--json")
        assert done.returncode == 0
        assert done.objects[-1]["sent_bytes"] <= 11 * CHUNK_BYTES
    assert stored(receiver) == {"big.mrc": (tmp_path / "big.mrc").read_bytes()}


def test_results_stand_on_stdout_and_remarks_on_stderr(receiver, cryoferry, folder):
    to = ("--to", receiver.url, "--session", "grid1")
    done = cryoferry("send", folder / "b.json", *to)
    assert (done.returncode, done.stderr) == (0, "")
    committed, total = done.stdout.splitlines()
    assert committed == "committed: b.json revision 1 (100 bytes)"
    assert total.startswith("1 of 1 files")
    (folder / "b.json").write_bytes(b"other")
    (folder / "c.json").write_bytes(b"c")
    failed = cryoferry("send", folder / "b.json", folder / "c.json", *to)
    assert failed.returncode == 3
    assert sorted(line.split(":")[0] for line in failed.stdout.splitlines()[:2]) == ["committed", "failed"]
    assert "what to do: " in failed.stderr
    assert "committed" not in failed.stderr


@pytest.mark.parametrize("case", ["missing", "a folder", "empty"])
def test_a_token_file_of_no_use_is_named_with_the_reason(case, receiver, cryoferry, folder, tmp_path):
    file = tmp_path / "token"
    if case == "a folder":
        file.mkdir()
    elif case == "empty":
        file.touch()
    done = cryoferry("send", folder, "--to", receiver.url, "--session", "grid1", "--token-file", file, token=None)
    assert done.returncode == 2
    reason = {"missing": "No such file", "a folder": "Is a directory", "empty": "is empty"}[case]
    assert f"the token file {file}" in done.stderr
    assert reason in done.stderr
    assert "Errno" not in done.stderr


def test_names_that_a_receiver_refuses_are_sent_escaped(receiver, cryoferry, tmp_path) -> None:
    names = {"-rf": "=2Drf", "a:b.": "a=3Ab=2E", "new\nline": "new=0Aline", "caf\udce9": "caf=E9", "con": "=63on"}
    folder = tmp_path / "-top"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(os.fsencode(name))
    assert cryoferry("send", "./-top", "--to", receiver.url, "--session", "grid1").returncode == 0
    there = receiver.data / "sessions/grid1/files/=2Dtop"
    assert {file.name: file.read_bytes() for file in there.iterdir()} == {
        sent: os.fsencode(name) for name, sent in names.items()
    }
    done = cryoferry("verify", "./-top", "--with", receiver.url, "--session", "grid1", "--json")
    assert (done.returncode, done.objects[-1]["same"], done.objects[-1]["files"]) == (0, 5, 5)


def test_a_decomposed_name_arrives_beside_its_composed_twin(receiver, cryoferry, tmp_path) -> None:
    contents = {"Zürich": b"composed", unicodedata.normalize("NFD", "Zürich"): b"decomposed"}
    folder = tmp_path / unicodedata.normalize("NFD", "Größe")
    for name, content in contents.items():
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}=1.tiff").write_bytes(content)
    where = ("--session", "grid1", "--path-prefix", "a")
    assert cryoferry("send", folder.name, "--to", receiver.url, *where).returncode == 0
    there = receiver.data / "sessions/grid1/files/a/Gro=CC=88=C3=9Fe"
    assert (there / "Zürich/Zürich=1.tiff").read_bytes() == b"composed"
    assert (there / "Zu=CC=88rich/Zu=CC=88rich=3D1.tiff").read_bytes() == b"decomposed"
    done = cryoferry("verify", folder.name, "--with", receiver.url, *where, "--json")
    assert (done.returncode, done.objects[-1]["same"], done.objects[-1]["files"]) == (0, 2, 2)
