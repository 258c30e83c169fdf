"""Any sequence of requests for uploads and files, from two clients and a stranger, with restarts and disks that forget.

After each step the receiver holds exactly what `upload_model` says: no file that nobody committed is visible, none that
was promised is lost, no byte is wrong, and what the receiver tells agrees with what lies on its disk.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.contract.wire import upload_requests as ask
from tests.contract.wire.upload_house import House, is_locked
from tests.contract.wire.upload_model import BUSY, COMMITTED, GONE, RECEIVING, Expected, SessionModel, Upload, body_of
from tests.contract.wire.upload_requests import Request, checked
from tests.waiting import wait_until
from transfer.wire.chunks import CHUNK_BYTES, split
from transfer.wire.digest import CHUNKED, root_digest

LONG = os.environ.get("CRYOFERRY_CAMPAIGN") == "1"
SHORT_RUN = {"max_examples": 8, "stateful_step_count": 30}
LONG_RUN = {"max_examples": 1000, "stateful_step_count": 50, "print_blob": True}
SEEDS = {"socket": 1, "stream": 2}  # of the short run, always the same
RESTARTS = 10 if LONG else 1
"""How often the receiver is started anew in one example."""
BUSY_TRIES = 5
"""How often a request is made whose lock or thread a busy machine keeps for seconds."""

PATHS = st.sampled_from(["a", "b", "c", "d/x", "a/x", "e f/g/h", "B", "D/y"])
REVISIONS = st.sampled_from([0, 0, 0, 0, 0, -1, 1])  # counted from the next one
SIZES = st.sampled_from([0, 5, 70_000, CHUNK_BYTES, CHUNK_BYTES + 5, 2 * CHUNK_BYTES + 5])
MOST = 23
UPLOADS = st.integers(0, MOST)  # see UploadMachine.pick
CHUNK_FAULTS = st.sampled_from([""] * 24 + [*ask.MALFORMED, *ask.OFF_THE_CHUNKS, *ask.BODY_FAULTS])
FILE_FAULTS = st.sampled_from([""] * 4 + [*ask.FILE_FAULTS])
ALGORITHMS = st.sampled_from(["blake3", CHUNKED, "sha-256"])
MODELLED = ("session", "path", "revision", "size_bytes", "digest")  # of a listed file
WHICH = CLIENTS = st.integers(0, 1)
RACERS = st.sampled_from(["send", "send", "commit", "put file", "withdraw", "declare"])


rarely = precondition(lambda machine: machine.steps % 3 == 0)
"""Leaves two of three steps to those that bring uploads on."""


class UploadMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house, self.session = house, house.new_session()
        self.steps = self.restarts = 0
        self.model = SessionModel(self.session)
        sessions = (self.session, self.session, "elsewhere")
        self.tokens = [house.receiver.token("agent", session) for session in sessions]
        self.clients: list[httpx.Client] = []
        self.picked: Upload | None = None
        self.seen: dict[tuple[Any, ...], bytes] = {}

    def connect(self) -> None:
        """Open the connections of two clients and of a stranger, who has a token for another session."""
        self.disconnect()
        options = {"base_url": self.house.receiver.url, "timeout": 30, "verify": False}
        self.clients = [httpx.Client(headers={"Authorization": f"Bearer {token}"}, **options) for token in self.tokens]

    def disconnect(self) -> None:
        """Close them."""
        for client in self.clients:
            client.close()

    @initialize(sizes=st.lists(SIZES, min_size=1, max_size=3))
    def open_session(self, sizes: list[int]) -> None:
        """Start the session with some uploads."""
        self.connect()
        assert self.clients[0].put(f"/v1/sessions/{self.session}").status_code == 201
        for number, size in enumerate(sizes):
            self.ask(ask.declare(self.session, uuid4(), f"begun/{number}", 1, size), 0)

    def ask(self, request: Request, client: int) -> None:
        """Make a request; its answer is the model's. A receiver that is busy is asked again, as it wishes."""
        told = checked(request.by(self.clients[client]))
        expected = request.judge(self.model)
        assert expected is not None
        for _ in range(BUSY_TRIES):
            if told[0] != BUSY.status or expected.status == BUSY.status:
                break
            told = checked(request.by(self.clients[client]))
        assert told[:2] == (expected.status, expected.slug), (told, expected)
        wrong = {name: told[2].get(name) for name, value in expected.members.items() if told[2].get(name) != value}
        assert not wrong, (wrong, expected)

    def pick(self, number: int) -> Upload:
        """Return the upload that a rule is for: mostly an unfinished one, sometimes another, or one of nobody."""
        every = list(self.model.uploads.values())
        unfinished = [upload for upload in every if upload.state == RECEIVING]
        if number == MOST or not every:
            return Upload(uuid4(), "a", 1, 5)
        choice = every if number % 4 == 3 or not unfinished else unfinished
        self.picked = choice[-1 - number // 2 % len(choice)]
        return self.picked

    # what clients do

    @rule(path=PATHS, revision=REVISIONS, size=SIZES, client=CLIENTS)
    def declare(self, path: str, revision: int, size: int, client: int) -> None:
        """Begin an upload, where the name is free."""
        number = max(1, self.model.newest(path) + 1 + revision)
        self.ask(ask.declare(self.session, uuid4(), path, number, size), client)

    @rarely
    @rule(upload=UPLOADS, change=st.sampled_from(["", "id", "size", "id and size", "path", "revision"]), client=CLIENTS)
    def declare_again(self, upload: int, change: str, client: int) -> None:
        """Repeat a declaration, or change it."""
        old = self.pick(upload)
        if old.id not in self.model.uploads:
            return
        upload_id = uuid4() if "id" in change else old.id
        path, revision = "other" if change == "path" else old.path, old.revision + (change == "revision")
        self.ask(ask.declare(self.session, upload_id, path, revision, old.size_bytes + ("size" in change)), client)

    @rule(
        upload=UPLOADS,
        first=st.integers(0, 2),
        count=st.integers(1, 3),
        which=WHICH,
        algorithm=ALGORITHMS,
        fault=CHUNK_FAULTS,
        client=CLIENTS,
    )
    def send(self, upload: int, first: int, count: int, which: int, algorithm: str, fault: str, client: int) -> None:
        """Send some chunks of one of the contents."""
        self.ask(ask.send(self.pick(upload), first, count, which, algorithm, fault), client)

    @rule(
        upload=UPLOADS, which=WHICH, algorithm=ALGORITHMS, client=CLIENTS, one_by_one=st.booleans(), ends=st.booleans()
    )
    def resume(self, upload: int, which: int, algorithm: str, client: int, one_by_one: bool, ends: bool) -> None:
        """Ask what is missing, send that, and commit perhaps."""
        picked = self.pick(upload)
        answer = self.clients[client].get(f"/v1/uploads/{picked.id}/ranges")
        for gap in answer.json().get("missing", []):
            first, stop = gap["first"] // CHUNK_BYTES, -(-(gap["last"] + 1) // CHUNK_BYTES)
            for number in range(first, stop) if one_by_one else [first]:
                self.ask(ask.send(picked, number, 1 if one_by_one else stop - first, which, algorithm), client)
        if ends:
            self.ask(ask.commit(picked.id, self.root_of(picked, "what arrived")), client)

    @rule(upload=UPLOADS, which=st.sampled_from(["what arrived"] * 3 + ["0", "nobody's"]), again=st.booleans())
    def commit(self, upload: int, which: str, again: bool) -> None:
        """Commit, too early perhaps, or with another digest, or twice."""
        picked = self.pick(upload)
        request = ask.commit(picked.id, self.root_of(picked, which))
        self.ask(request, 0)
        if again:
            self.ask(request, 1)

    def root_of(self, upload: Upload, which: str) -> str:
        """Return the root digest of what arrived, of one of the contents, or of nothing."""
        if which == "what arrived" and upload.state == RECEIVING:
            return root_digest(upload.chunks[number] for number in sorted(upload.chunks))
        return body_of(upload.size_bytes, 0).root if which == "0" else "0" * 64

    @rarely
    @rule(upload=UPLOADS, client=CLIENTS, quiet_s=st.sampled_from([None, 60, 60]))
    def withdraw(self, upload: int, client: int, quiet_s: int | None) -> None:
        """Give up an upload."""
        self.ask(ask.withdraw(self.pick(upload).id, quiet_s=quiet_s), client)

    @rule(
        path=PATHS,
        revision=REVISIONS,
        size=SIZES,
        which=WHICH,
        algorithm=st.one_of(st.none(), ALGORITHMS),
        fault=FILE_FAULTS,
    )
    def put_file(self, path: str, revision: int, size: int, which: int, algorithm: str | None, fault: str) -> None:
        """Send a file in one request."""
        number = max(1, self.model.newest(path) + 1 + revision)
        self.ask(ask.put_file(self.session, (path, number), size, which, algorithm, fault), 0)

    @rule(upload=UPLOADS, which=WHICH, algorithm=st.one_of(st.none(), ALGORITHMS), fault=FILE_FAULTS)
    def put_file_of_an_upload(self, upload: int, which: int, algorithm: str | None, fault: str) -> None:
        """Send in one request what another client has begun in parts."""
        picked = self.pick(upload)
        name = picked.path, picked.revision
        self.ask(ask.put_file(self.session, name, picked.size_bytes, which, algorithm, fault), 1)

    @rarely
    @rule(path=PATHS, first=st.integers(0, 80_000), count=st.integers(1, 80_000))
    def read(self, path: str, first: int, count: int) -> None:
        """Read a range of the newest revision."""
        revision = self.model.newest(path)
        answer = self.clients[0].get(
            f"/v1/files/{self.session}/{path}", headers={"Range": f"bytes={first}-{first + count - 1}"}
        )
        if not revision:
            assert checked(answer)[:2] == (404, "not-found")
            return
        content = self.model.content(path, revision)
        if first >= len(content):
            assert checked(answer)[:2] == (416, "bad-range")
            return
        last = min(first + count, len(content)) - 1
        assert (answer.status_code, answer.content) == (206, content[first : last + 1])
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(content)}"
        assert answer.headers["ETag"] == f'"{self.model.receipt(path, revision)["digest"]}"'

    @rarely
    @rule(upload=UPLOADS, kind=st.sampled_from(["declare", "send", "commit", "withdraw", "put file", "ask"]))
    def meddle(self, upload: int, kind: str) -> None:
        """Try the same with another session's token."""
        picked = self.pick(upload)
        question = Request("GET", f"/v1/uploads/{picked.id}", lambda _: None, {})
        request = question if kind == "ask" else self.racer(picked, kind, 0, 0)
        names_session = kind in ("declare", "put file")  # an upload of another session might as well not be
        refused = Expected(403, "scope-rejected") if names_session else Expected(404, "not-found")
        self.ask(replace(request, judge=lambda _: refused), 2)

    @rule(upload=UPLOADS, kinds=st.tuples(RACERS, RACERS), which=st.tuples(WHICH, WHICH), first=st.integers(0, 2))
    def race(self, upload: int, kinds: tuple[str, str], which: tuple[int, int], first: int) -> None:
        """Make two requests at the same instant: what comes of it is what one after the other would have brought."""
        picked = self.pick(upload)
        if picked.lost:
            return
        requests = [self.racer(picked, kind, one, first) for kind, one in zip(kinds, which, strict=True)]
        with ThreadPoolExecutor(2) as pool:
            answers = [pool.submit(request.by, client) for request, client in zip(requests, self.clients, strict=False)]
            told = [checked(answer.result())[:2] for answer in answers]
        fitting = next((world for world in self.outcomes(requests, told) if self.fits(world)), None)
        assert fitting, (kinds, told)
        self.model = fitting

    def racer(self, upload: Upload, kind: str, which: int, first: int) -> Request:
        """Return a request for an upload."""
        if kind == "send":
            return ask.send(upload, first, 1, which)
        if kind == "put file":
            return ask.put_file(self.session, (upload.path, upload.revision), upload.size_bytes, which)
        if kind == "declare":
            return ask.declare(self.session, uuid4(), upload.path, upload.revision, upload.size_bytes)
        if kind == "withdraw":
            return ask.withdraw(upload.id)
        return ask.commit(upload.id, self.root_of(upload, "what arrived"))

    def outcomes(self, requests: list[Request], told: list[tuple[int, str | None]]) -> Iterator[SessionModel]:
        """Yield the models in which two requests, one after the other or turned away, are answered like that."""
        for order in ((0, 1), (1, 0)):
            world = deepcopy(self.model)
            for turn in order:
                if told[turn] in requests[turn].answers_between(requests[1 - turn]):
                    if told[turn][0] == 422:  # received, but not committed
                        requests[turn].leave_between(world)
                    continue
                expected = requests[turn].judge(world)
                if expected is None or told[turn] != (expected.status, expected.slug):
                    break
            else:
                yield world

    def fits(self, world: SessionModel) -> bool:
        """Return whether the receiver holds what a model says."""
        for upload in world.uploads.values():
            row = self.house.inside.uploads.find(upload.id)
            if (GONE if row is None else row.state.value) != upload.state:
                return False
            chunks = self.house.inside.uploads.chunks(upload.id).items()
            if upload.state == RECEIVING and {number: chunk.digest for number, chunk in chunks} != upload.chunks:
                return False
        return self.visible() == {location(*name): world.content(*name) for name in world.files}

    # what happens to clients and to the receiver

    @rule(upload=UPLOADS, which=WHICH, is_cut=st.booleans(), meanwhile=st.sampled_from(["sweep", "withdraw"]))
    def send_half(self, upload: int, which: int, is_cut: bool, meanwhile: str) -> None:
        """Begin a chunk's body; while it is on its way nobody takes the upload away; then finish, or leave."""
        picked = self.pick(upload)
        if picked.id not in self.model.uploads or picked.state != RECEIVING or picked.lost or not picked.size_bytes:
            return
        request = ask.send(picked, 0, 1, which)
        data = request.content()
        with contextlib.closing(self.begin(request, len(data))) as link:
            link.sendall(data[: len(data) // 2])
            self.wait_until_locked(picked.id, True)
            if meanwhile == "sweep":
                self.house.age(picked.id)
                self.house.sweep()
                self.house.age(picked.id, is_old=False)
            else:
                answer = self.clients[0].delete(f"/v1/uploads/{picked.id}", params={"quiet_s": 0})
                assert checked(answer)[:2] == (409, "upload-conflict")
            if is_cut:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                link.sendall(data[len(data) // 2 :])
                assert link.recv(1000).startswith(b"HTTP/1.1 204")
        self.wait_until_locked(picked.id, False)
        (digest,) = body_of(picked.size_bytes, which).digests[:1]
        self.model.receive(picked, (digest,), is_cut=is_cut)

    def begin(self, request: Request, length: int) -> socket.socket:
        """Send the head of a request over a connection of its own."""
        link = socket.create_connection(("127.0.0.1", self.house.receiver.port), timeout=30)
        fields = {"Host": "x", "Authorization": f"Bearer {self.tokens[0]}", "Content-Length": length, **request.headers}
        lines = [f"{request.method} {request.url} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        link.sendall("\r\n".join([*lines, "", ""]).encode())
        return link

    def wait_until_locked(self, upload_id: UUID, wanted: bool) -> None:
        """Wait until a request is writing an upload's first chunk, or none is."""
        wait_until(
            lambda: (part := self.house.part_of(upload_id)) is not None and is_locked(part) == wanted,
            f"{'a request that writes' if wanted else 'no request that writes'} to upload {upload_id}",
            pause_s=0.002,
        )

    @rarely
    @rule(upload=UPLOADS, is_old=st.booleans())
    def sweep(self, upload: int, is_old: bool) -> None:
        """Let the receiver look for uploads that were given up."""
        picked = self.pick(upload)
        if is_old:
            self.house.age(picked.id)
            self.model.expire(picked.id)
        self.house.sweep()

    @rarely
    @rule(upload=UPLOADS, damage=st.sampled_from(["a bit", "cut short", "", "taken away"]))
    def restart(self, upload: int, damage: str) -> None:
        """End the receiver and start it again; the disk may have lost something meanwhile."""
        if self.restarts == RESTARTS:
            return
        self.restarts += 1
        self.disconnect()
        picked = self.pick(upload)
        root = self.root_of(picked, "what arrived")
        self.house.restart(lambda: self.damage(picked, damage))
        self.model.restart()
        self.connect()
        self.all_is_as_it_was_promised()
        self.ask(ask.commit(picked.id, root), 0)  # which finds out what the disk has lost

    @rarely
    @rule(upload=UPLOADS)
    def tidy_up(self, upload: int) -> None:
        """Somebody removes a file where the receiver works."""
        self.damage(self.pick(upload), "taken away")

    def damage(self, upload: Upload, how: str) -> None:
        """Do to an upload's part file what disks and people do."""
        part = self.house.part_of(upload.id)
        if upload.state != RECEIVING or part is None or not upload.chunks:
            return
        last = max(upload.chunks)
        end = split(upload.size_bytes)[last].stop
        if how == "taken away":
            part.unlink()
            upload.lost = True
        elif how == "cut short":
            os.truncate(part, end - 1)
            upload.rotten.add(last)
        elif how == "a bit" and last not in upload.rotten:
            with part.open("r+b") as file:
                file.seek(end - 1)
                bit = file.read(1)[0] ^ 1
                file.seek(end - 1)
                file.write(bytes([bit]))
            upload.rotten.add(last)

    # what has to be so

    @invariant()
    def nothing_else_is_visible_and_no_byte_is_wrong(self) -> None:
        """Compare what lies under DIR/sessions, and the receiver's list of it."""
        self.steps += 1
        assert self.visible() == {location(*name): self.model.content(*name) for name in self.model.files}
        listed = self.clients[0].get(f"/v1/sessions/{self.session}/files")
        assert [{key: one[key] for key in MODELLED} for one in listed.json()["files"]] == self.model.listing()

    @invariant()
    def an_upload_is_told_as_it_is(self) -> None:
        """Compare what arrived of the upload that the last step was about."""
        if self.picked and self.picked.id in self.model.uploads:
            self.is_told_as_it_is(self.model.uploads[self.picked.id])

    def all_is_as_it_was_promised(self) -> None:
        """Ask for every upload, and have every receipt given again."""
        for upload in self.model.uploads.values():
            self.is_told_as_it_is(upload)
            if upload.state == COMMITTED:
                self.ask(ask.commit(upload.id, self.model.receipt(upload.path, upload.revision)["digest"]), 0)

    def is_told_as_it_is(self, upload: Upload) -> None:
        """Compare what the receiver tells of an upload."""
        url, client = f"/v1/uploads/{upload.id}", self.clients[1]
        status, ranges, head = client.get(url), client.get(f"{url}/ranges"), client.head(url)
        if upload.state == GONE:
            assert checked(status)[:2] == checked(ranges)[:2] == (410, "upload-gone")
            assert head.status_code == 410
            return
        missing = upload.missing()
        assert status.json() == self.model.status(upload)
        assert ranges.json() == {"missing": missing}
        offset = missing[0]["first"] if missing else upload.size_bytes
        complete = "?1" if upload.state == COMMITTED else "?0"
        assert (head.headers["Upload-Offset"], head.headers["Upload-Complete"]) == (str(offset), complete)

    def visible(self) -> dict[str, bytes]:
        """Return every file of the session that anybody could see; one that did not change is not read again."""
        top, found = self.house.receiver.data / "sessions" / self.session, {}
        for path in top.rglob("*"):
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode):
                key = path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
                if key not in self.seen:
                    self.seen[key] = path.read_bytes()
                found[path.relative_to(top).as_posix()] = self.seen[key]
        return found

    def teardown(self) -> None:
        """Look at everything once more, and leave the next example nothing to trip over."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.disconnect)
            stack.callback(self.seen.clear)
            self.all_is_as_it_was_promised()
            for upload in self.model.uploads.values():
                if upload.state == RECEIVING:
                    self.ask(ask.withdraw(upload.id), 0)
            self.nothing_else_is_visible_and_no_byte_is_wrong()
            self.house.sweep()
            assert [upload for upload in self.model.uploads if self.house.part_of(upload)] == []


def location(path: str, revision: int) -> str:
    """Return where a committed file lies in its session's folder."""
    return f"files/{path}" if revision == 1 else f"revisions/{revision}/{path}"


@pytest.mark.timeout(3600 if LONG else 300)
def test_whatever_clients_do_what_is_promised_is_kept(make_receiver, data_plane) -> None:
    house = House(make_receiver)

    def machine() -> UploadMachine:
        return UploadMachine(house)

    run_state_machine_as_test(
        machine if LONG else seed(SEEDS[data_plane])(machine),
        settings=settings(
            **(LONG_RUN if LONG else SHORT_RUN),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate],  # shrinking takes minutes
        ),
    )
