"""What `send FOLDER` finds: files in the folder, also by links within it, and never anything outside of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from transfer.client import ReceiverClient
from transfer.commands.folder_walk import FoundFile, LeftOut, walk
from transfer.commands.planned_files import plan
from transfer.upload.sender import Sender
from transfer.wire.errors import SourceChanged, SourceUnreadable


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "session"
    (folder / "real").mkdir(parents=True)
    (folder / "real" / "a.mrc").write_bytes(b"a")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.mrc").write_bytes(b"b")
    return folder


def found(top: Path) -> tuple[list[str], dict[str, str]]:
    each = list(walk(top))
    files = [str(one.path.relative_to(top)) for one in each if isinstance(one, FoundFile)]
    return files, {str(one.path.relative_to(top)): one.reason for one in each if isinstance(one, LeftOut)}


def test_links_within_the_folder_are_followed(top: Path) -> None:
    (top / "Movies").symlink_to("real")
    (top / "also.mrc").symlink_to(top / "real" / "a.mrc")
    (top / "chain.mrc").symlink_to("also.mrc")
    assert found(top) == (["Movies/a.mrc", "also.mrc", "chain.mrc", "real/a.mrc"], {})


def test_links_out_of_the_folder_are_named_and_not_followed(top: Path, tmp_path: Path) -> None:
    (top / "passwd").symlink_to("/etc/passwd")
    (top / "up.mrc").symlink_to("../secret")
    (top / "disc2").symlink_to(tmp_path / "other")
    (top / "through").symlink_to("disc2/b.mrc")
    files, left_out = found(top)
    assert files == ["real/a.mrc"]
    assert left_out.keys() == {"passwd", "up.mrc", "disc2", "through"}
    assert left_out["passwd"] == f"it is a link to /etc/passwd, which lies outside of {top}"


def test_a_neighbour_of_a_like_name_is_outside(top: Path) -> None:
    neighbour = top.with_name(f"{top.name}-2")
    neighbour.mkdir()
    (neighbour / "c.mrc").touch()
    (top / "c.mrc").symlink_to(neighbour / "c.mrc")
    assert found(top)[1].keys() == {"c.mrc"}


def test_loops_and_links_to_nothing_are_named(top: Path) -> None:
    (top / "loop").symlink_to(".")
    (top / "real" / "up").symlink_to("..")
    (top / "self").symlink_to("self")
    (top / "gone.mrc").symlink_to("nothing")
    files, left_out = found(top)
    assert files == ["real/a.mrc"]
    assert left_out.keys() == {"loop", "real/up", "self", "gone.mrc"}
    assert "which cannot be found: No such file or directory" in left_out["gone.mrc"]


def test_what_is_no_file_is_named_and_never_opened(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(top / "fifo.mrc")
    monkeypatch.chdir(top)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.mrc")
        assert found(top)[1] == dict.fromkeys(
            ("fifo.mrc", "socket.mrc"), "it is a device, a socket or a pipe, not a file"
        )


def test_a_folder_that_cannot_be_read_ends_the_plan(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refused(folder: Path) -> object:  # root may read every folder, so a mode does not help here
        if folder.name == "real":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(SourceUnreadable, match=r"real cannot be read: Permission denied; nothing was sent"):
        list(walk(top))


def test_a_link_that_is_named_is_followed_unless_it_leads_to_nothing(top: Path, tmp_path: Path) -> None:
    (tmp_path / "link.mrc").symlink_to("secret")
    (tmp_path / "gone.mrc").symlink_to("nothing")
    left_out: list[LeftOut] = []
    planned = plan([tmp_path / "link.mrc", tmp_path / "gone.mrc"], "s", "", 1, on_left_out=left_out.append)
    assert [file.path for file in planned] == ["link.mrc"]
    assert [each.path.name for each in left_out] == ["gone.mrc"]
    with pytest.raises(SourceUnreadable, match="links that lead to nothing"):
        plan([tmp_path / "gone.mrc"], "s", "", 1)


def test_a_file_that_becomes_a_link_after_the_plan_is_not_sent(top: Path, tmp_path: Path, receiver, token) -> None:
    planned = plan([top], "grid1", "", 1)
    (top / "real" / "a.mrc").unlink()
    (top / "real" / "a.mrc").symlink_to(tmp_path / "secret")
    with ReceiverClient(receiver.url, token) as client, Sender(client) as sender:
        client.open_session("grid1")
        (result,) = sender.send_many(planned)
        assert isinstance(result.error, SourceChanged)
        assert not list(client.files("grid1"))


def test_send_says_what_it_leaves_out(top: Path, cryoferry, receiver) -> None:
    (top / "passwd").symlink_to("/etc/passwd")
    (top / "gone.mrc").symlink_to("nothing")
    done = cryoferry("send", top, "--to", receiver.url, "--session", "grid1", "--json")
    assert done.returncode == 0
    assert [one["path"] for one in done.objects[:-1]] == ["session/real/a.mrc"]
    assert done.objects[-1]["left_out"] == 2
    assert f"not sent: {top / 'passwd'}: it is a link to /etc/passwd" in done.stderr
    dry = cryoferry("send", top, "--to", receiver.url, "--session", "grid1", "--dry-run")
    assert "passwd" not in dry.stdout
    assert "not sent:" in dry.stderr
