"""`cryoferry fetch` and `cryoferry verify` with a real receiver: what arrives, continues, and is never written to."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from chaos_proxy import ChaosProxy

from tests.running import cryoferry_here
from transfer.client import ReceiverClient
from transfer.download.fetcher import Fetcher
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import FileCorrupt
from transfer.wire.receipt import Receipt

LARGE = 2 * CHUNK_BYTES + 1
SIZES = {"a.mrc": LARGE, "b.json": 100, "deep/empty.star": 0}


@pytest.fixture
def cryoferry(receiver, tmp_path, monkeypatch, capsys):
    """Run a command against the receiver in this process; return its exit code, objects and text on stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYOFERRY_TOKEN", receiver.token("agent", "grid1"))

    def run(*arguments):
        done = cryoferry_here(monkeypatch, capsys, *arguments, "--json")
        objects = [json.loads(line) for line in done.stdout.splitlines()]
        return SimpleNamespace(code=done.returncode, objects=objects, stderr=done.stderr)

    return run


@pytest.fixture
def sent(receiver, cryoferry, tmp_path):
    """The folder run1, which the session holds."""
    for name, size_bytes in SIZES.items():
        (tmp_path / "run1" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run1" / name).write_bytes(os.urandom(size_bytes))
    assert cryoferry("send", "run1", "--to", receiver.url, "--session", "grid1").code == 0
    return tmp_path / "run1"


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_cannot_be_written_is_refused_once(receiver, cryoferry, sent, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    done = cryoferry("fetch", "grid1", "--from", receiver.url, "--out", "out")
    (told,) = done.objects
    assert (done.code, told["error"]["type"]) == (1, "TargetUnwritable")
    assert "Give another --out" in told["error"]["hint"]
    assert not (tmp_path / "out").exists()


def test_a_session_is_fetched_whole_and_again_for_nothing(receiver, cryoferry, sent, tmp_path):
    done = cryoferry("fetch", "grid1", "--from", receiver.url, "--out", "out")
    assert done.code == 0, done.stderr
    assert content(tmp_path / "out" / "run1") == content(sent)
    total = done.objects[-1]
    assert (total["files"], total["failed"], total["bytes"]) == (3, 0, LARGE + 100)
    assert total["fetched_bytes"] == LARGE + 100
    again = cryoferry("fetch", "grid1", "--from", receiver.url, "--out", "out")
    assert (again.code, again.objects[-1]["files"], again.objects[-1]["fetched_bytes"]) == (0, 3, 0)
    one = cryoferry("fetch", "grid1/run1/deep", "--from", receiver.url, "--out", "one")
    assert (one.code, list(content(tmp_path / "one"))) == (0, ["run1/deep/empty.star"])
    dry = cryoferry("fetch", "grid1/run1/b.json", "--from", receiver.url, "--out", "dry", "--dry-run")
    assert [told["target"] for told in dry.objects] == ["dry/run1/b.json"]
    assert not (tmp_path / "dry").exists()


def test_what_is_here_under_a_name_is_never_written_to(receiver, cryoferry, sent, tmp_path):
    (tmp_path / "out" / "run1").mkdir(parents=True)
    (tmp_path / "out" / "run1" / "a.mrc").write_bytes(b"my own")
    (tmp_path / "out" / "run1" / "b.json").symlink_to("nowhere")
    done = cryoferry("fetch", "grid1", "--from", receiver.url, "--out", "out")
    assert done.code == 3
    failed = {told["path"]: told["error"]["type"] for told in done.objects if "error" in told}
    assert failed == {"run1/a.mrc": "NameTaken", "run1/b.json": "NameTaken"}
    assert (tmp_path / "out" / "run1" / "a.mrc").read_bytes() == b"my own"
    assert not (tmp_path / "out" / "run1" / "nowhere").exists()


def test_what_was_interrupted_continues(receiver, cryoferry, sent, tmp_path):
    with ChaosProxy(receiver.port, lose_answers={200}) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        fetched = ("fetch", "grid1/run1/a.mrc", "--connections", 1, "--give-up-after", 0, "--out", "out")
        first = cryoferry(*fetched, "--from", url)
    assert first.code == 5, first.stderr
    assert not (tmp_path / "out" / "run1" / "a.mrc").exists()
    second = cryoferry(*fetched, "--from", receiver.url)
    assert second.code == 0
    assert content(tmp_path / "out") == {"run1/a.mrc": (sent / "a.mrc").read_bytes()}
    assert first.objects[-1]["fetched_bytes"] + second.objects[-1]["fetched_bytes"] == LARGE


def test_a_part_that_is_not_what_its_list_says_never_gets_the_name(receiver, cryoferry, sent, tmp_path):
    with ReceiverClient(receiver.url, receiver.token()) as client:
        (receipt,) = [receipt for receipt in client.files("grid1") if receipt.path == "run1/a.mrc"]
        (tmp_path / "out" / "run1").mkdir(parents=True)
        part = tmp_path / "out" / "run1" / f".{receipt.digest[:32]}.part"
        part.write_bytes(bytes(LARGE))
        part.with_suffix(".chunks").write_text("0\nnonsense\n")
        (fetched,) = Fetcher(client, tmp_path / "out").fetch_all([receipt])
        assert isinstance(fetched.error, FileCorrupt)
        assert content(tmp_path / "out") == {}
        (fetched,) = Fetcher(client, tmp_path / "out").fetch_all([receipt])
        assert fetched.error is None


def test_a_receiver_cannot_lead_out_of_the_folder(receiver, tmp_path):
    lying = Receipt(session="grid1", path="../escape", revision=1, size_bytes=0, digest="0" * 64)
    with ReceiverClient(receiver.url, receiver.token()) as client:
        (fetched,) = Fetcher(client, tmp_path / "out").fetch_all([lying])
    assert type(fetched.error).__name__ == "BadName"
    assert not (tmp_path / "escape").exists()


def test_no_link_leads_out_of_the_folder(receiver, cryoferry, sent, tmp_path):
    (tmp_path / "real" / "inside").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to("real")  # the folder that was named may be a link
    (tmp_path / "out" / "run1").symlink_to("inside")  # this link stays in it
    (tmp_path / "out" / "run1" / "deep").symlink_to("../../elsewhere")
    done = cryoferry("fetch", "grid1", "--from", receiver.url, "--out", "out")
    assert done.code == 3
    (failed,) = [told for told in done.objects if "error" in told]
    assert (failed["path"], failed["error"]["type"]) == ("run1/deep/empty.star", "TargetUnwritable")
    assert "lies outside of out" in failed["error"]["message"]
    assert not any((tmp_path / "elsewhere").iterdir())
    assert sorted(content(tmp_path / "real")) == ["inside/a.mrc", "inside/b.json"]


def test_a_folder_that_becomes_a_link_meanwhile_changes_nothing(receiver, cryoferry, sent, tmp_path, monkeypatch):
    """The link appears between the look at the folders and the first byte, and between that and the name."""
    from transfer.download import fetcher
    from transfer.download.part_file import PartFile

    (tmp_path / "elsewhere").mkdir()
    publish, names_of = PartFile.publish, fetcher.Fetcher._folders

    def swap():
        (tmp_path / "out" / "run1").rename(tmp_path / "moved")
        (tmp_path / "out" / "run1").symlink_to("../elsewhere")

    monkeypatch.setattr(PartFile, "publish", lambda part: (swap(), publish(part)))
    done = cryoferry("fetch", "grid1/run1/b.json", "--from", receiver.url, "--out", "out")
    assert done.code == 0
    assert content(tmp_path / "moved") == {"b.json": (sent / "b.json").read_bytes()}
    monkeypatch.undo()
    (tmp_path / "out" / "run1").unlink()
    (tmp_path / "moved").rename(tmp_path / "out" / "run1")
    (tmp_path / "out" / "run1" / "b.json").unlink()

    def meddled(self, folder):
        names = names_of(self, folder)
        swap()
        return names

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYOFERRY_TOKEN", receiver.token("agent", "grid1"))
    monkeypatch.setattr(fetcher.Fetcher, "_folders", meddled)
    done = cryoferry("fetch", "grid1/run1/b.json", "--from", receiver.url, "--out", "out")
    assert done.objects[0]["error"]["type"] == "TargetUnwritable"
    assert not any((tmp_path / "elsewhere").iterdir())


def test_the_list_of_chunks_is_never_written_through_a_link(receiver, sent, tmp_path):
    with ReceiverClient(receiver.url, receiver.token()) as client:
        (receipt,) = [receipt for receipt in client.files("grid1") if receipt.path == "run1/b.json"]
        (tmp_path / "out" / "run1").mkdir(parents=True)
        (tmp_path / "victim").write_text("mine")
        (tmp_path / "out" / "run1" / f".{receipt.digest[:32]}.chunks").symlink_to(tmp_path / "victim")
        (fetched,) = Fetcher(client, tmp_path / "out").fetch_all([receipt])
    assert type(fetched.error).__name__ == "TargetUnwritable"
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_name_that_is_not_there(receiver, cryoferry, sent):
    done = cryoferry("fetch", "grid1/run2", "--from", receiver.url, "--out", "out")
    assert done.code == 2
    assert "run2" in done.stderr


def verdicts(done):
    return {told["path"]: told["verdict"] for told in done.objects[:-1]}


def test_verify_tells_what_is_missing_different_and_extra(receiver, cryoferry, sent, tmp_path):
    to = ("verify", "run1", "--with", receiver.url, "--session", "grid1")
    same = cryoferry(*to)
    assert (same.code, set(verdicts(same).values())) == (0, {"same"})
    (sent / "new.mrc").write_bytes(b"new")
    (sent / "b.json").write_bytes(os.urandom(100))
    (sent / "deep" / "empty.star").unlink()
    (tmp_path / "other").write_bytes(b"beside the folder")
    assert cryoferry("send", "other", "--to", receiver.url, "--session", "grid1").code == 0
    changed = cryoferry(*to)
    assert changed.code == 6
    assert verdicts(changed) == {
        "run1/a.mrc": "same",
        "run1/b.json": "different",
        "run1/new.mrc": "missing",
        "run1/deep/empty.star": "extra",
    }
    assert cryoferry("fetch", "grid1", "--from", receiver.url, "--out", "out").code == 0
    whole = cryoferry("verify", "out", "--whole-session", "--with", receiver.url, "--session", "grid1")
    assert (whole.code, whole.objects[-1]["same"]) == (0, 4)


def test_send_deletes_only_what_has_its_receipt_and_is_unchanged(receiver, cryoferry, sent, monkeypatch):
    to = ("--to", receiver.url, "--session", "grid1", "--verify", "--delete-after-receipt")
    (sent / "b.json").write_bytes(b"another content")  # its name is taken: no receipt
    done = cryoferry("send", "run1", *to)
    assert done.code == 3
    assert content(sent) == {"b.json": b"another content"}

    from transfer.commands import send_run

    read = send_run.digest_of

    def meddle(path):
        digest = read(path)
        path.write_bytes(b"written to after it was read")
        return digest

    monkeypatch.setattr(send_run, "digest_of", meddle)
    (sent / "late.mrc").write_bytes(b"late")
    done = cryoferry("send", "run1/late.mrc", *to)
    assert (done.code, done.objects[0]["error"]["type"]) == (1, "SourceChanged")
    assert (sent / "late.mrc").read_bytes() == b"written to after it was read"
    monkeypatch.setattr(send_run, "digest_of", lambda _: "0" * 64)
    (sent / "last.mrc").write_bytes(b"last")
    assert cryoferry("send", "run1/last.mrc", *to).code == 6
    assert (sent / "last.mrc").exists()
