"""Three agents claim, send and publish the movies of one folder, in any order and with any accident.

The accidents: journals are lost, movies are renamed, copied and replaced, results are made without the link, committed
files disappear, the receiver goes back to an earlier state. Whatever happens, each movie is published as one exposure,
no two exposures have the same name, and in the end every movie that is there is published.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

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
from sqlalchemy import event, insert, select

from api.database.engine import Database
from api.database.migrate import upgrade
from api.database.tables import claimed_exposures, exposure_records, exposures, files, movies, sessions
from api.store.account_facts import accounts_of, is_in_flight
from api.store.claims import ClaimBook
from api.store.publication import publish
from api.store.storage import Storage, location_of
from api.store.taken_names import take_path
from tests.contract.wire.claiming import claim, digest, record
from transfer.wire.accounting import SessionAccount
from transfer.wire.agent_status import LEASE_S
from transfer.wire.errors import ExposureConflict, FilesMissing, NameTaken
from transfer.wire.exposure_claim import ClaimAnswer, ClaimBatch, ClaimReason, ClaimStatus, MovieClaim
from transfer.wire.exposure_record import ExposureRecord

LONG = os.environ.get("CRYOFERRY_CAMPAIGN") == "1"
SHORT_RUN = {"max_examples": 20, "stateful_step_count": 30}
LONG_RUN = {"max_examples": 2000, "stateful_step_count": 60, "print_blob": True}

CONTENTS = ("A", "B", "S/1", "S/2", "S/3")  # the last three have the same samples
PATHS = ("x.tiff", "x.mrc", "X_nodw.tiff", "d/x.tiff", "D/y.tiff")
SENT_AT_MOST = 5  # times, as the agent does
AGENTS = st.integers(0, 2)


@dataclass
class Local:
    """One movie as an agent's journal has it."""

    content: str
    local_id: UUID
    reason: ClaimReason = ClaimReason.NEW
    is_whole: bool = False
    is_aligned: bool = False
    is_released: bool = False
    answer: ClaimAnswer | None = None


@dataclass
class ModelAgent:
    """An agent: what the receiver knows it as, and its journal."""

    source: str
    agent: UUID = field(default_factory=uuid4)
    journal: dict[str, Local] = field(default_factory=dict)


class ClaimMachine(RuleBasedStateMachine):
    """The receiver's part of claims, with its database and its data folder."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cryoferry-claims-"))
        self.data = self.folder / "data"
        self.storage = Storage(self.data, 0)
        self.storage.prepare()
        self._open()
        upgrade(self.database, self.data)
        with self.database.write() as connection:
            row = {"name": "s1", "state": "open", "created_at": datetime.now(UTC)}
            self.session_id = connection.execute(insert(sessions).values(**row).returning(sessions.c.id)).scalar_one()
        self.moment = datetime.now(UTC)
        self.agents = [ModelAgent(""), ModelAgent(""), ModelAgent("b")]
        self.disk: dict[str, str] = {}
        self.sent = 0

    def _open(self) -> None:
        self.database = Database(f"sqlite:///{self.data / 'x.sqlite'}")
        event.listen(self.database.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
        self.claims = ClaimBook(self.database, self.storage, lambda: self.moment)

    def teardown(self) -> None:
        if hasattr(self, "agents"):
            self.finish_everything()
            self.database.close()
            shutil.rmtree(self.folder)

    # movies

    @rule(path=st.sampled_from(PATHS), content=st.sampled_from(CONTENTS))
    def write_movie(self, path: str, content: str) -> None:
        self.disk[path] = content

    @rule(path=st.sampled_from(PATHS), to=st.sampled_from(PATHS))
    def rename_movie(self, path: str, to: str) -> None:
        if path in self.disk:
            self.disk[to] = self.disk.pop(path)

    @rule(path=st.sampled_from(PATHS), to=st.sampled_from(PATHS))
    def copy_movie(self, path: str, to: str) -> None:
        if path in self.disk:
            self.disk[to] = self.disk[path]

    # agents

    def look(self, number: int, path: str) -> Local | None:
        """Return a movie as an agent's journal has it after a look at the folder."""
        journal, content = self.agents[number].journal, self.disk.get(path)
        if content is None:
            return None
        local = journal.get(path)
        if local is None:
            local = journal[path] = Local(content, uuid4())
        elif local.content != content:
            reason = ClaimReason.CHANGED if local.is_released else local.reason
            local = journal[path] = Local(content, local.local_id, reason)
        return local

    def ask(self, number: int, path: str, local: Local) -> ClaimAnswer:
        agent = self.agents[number]
        while True:
            wanted = claim(
                path,
                local.content,
                whole=local.is_whole,
                exposure_id=str(local.local_id),
                source=agent.source,
                reason=local.reason.value,
            )
            batch = ClaimBatch(agent=agent.agent, claims=(MovieClaim.model_validate(wanted),))
            (answer,) = self.claims.answer(self.session_id, batch)
            if answer.status != ClaimStatus.DIGEST_NEEDED:
                break
            assert not local.is_whole
            local.is_whole = True
        local.is_released = answer.status == ClaimStatus.COMMITTED
        return answer

    @rule(number=AGENTS, path=st.sampled_from(PATHS))
    def claim_movie(self, number: int, path: str) -> None:
        local = self.look(number, path)
        if local is not None and not local.is_released:
            local.answer = self.ask(number, path, local)
            local.is_aligned = local.answer.status == ClaimStatus.CLAIMED

    @rule(number=AGENTS)
    def claim_all(self, number: int) -> None:
        for path in PATHS:
            self.claim_movie(number, path)

    @rule(number=AGENTS, ask_first=st.booleans())
    def do_all(self, number: int, ask_first: bool) -> None:
        self.claim_all(number)
        self.send_all(number, ask_first)

    @rule(number=AGENTS, ask_first=st.booleans())
    def send_all(self, number: int, ask_first: bool) -> None:
        for path in PATHS:
            self.send_movie(number, path, ask_first)
        self.account()

    @rule(number=AGENTS, path=st.sampled_from(PATHS))
    def align_without_a_link(self, number: int, path: str) -> None:
        local = self.look(number, path)
        if local is not None and not local.is_released:
            local.is_aligned = local.is_whole = True

    @rule(number=AGENTS, path=st.sampled_from(PATHS), ask_first=st.booleans())
    def send_movie(self, number: int, path: str, ask_first: bool) -> None:
        """Send what was aligned, though the movie may have changed or gone since."""
        local = self.agents[number].journal.get(path)
        if local is None or not local.is_aligned or local.is_released:
            return
        local.is_whole = True
        kept, local.answer = local.answer, None
        for attempt in range(SENT_AT_MOST):
            answer = self.ask(number, path, local) if kept is None or ask_first or attempt else kept
            if answer.status != ClaimStatus.CLAIMED:
                return
            try:
                self.publish(answer, path, local.content)
            except (ExposureConflict, FilesMissing, NameTaken):
                continue
            local.is_released, local.reason = True, ClaimReason.NEW
            return
        raise AssertionError(f"{path} was refused {SENT_AT_MOST} times")

    def publish(self, answer: ClaimAnswer, path: str, content: str) -> None:
        self.sent += 1
        bytes_of_it = f"{content} {self.sent}".encode()
        name, revision = f"{answer.stem}.mrc", answer.file_revisions.get(".mrc", 0) + 1
        location = location_of("s1", name, revision)
        there = self.data / location
        if there.exists():
            raise NameTaken
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(bytes_of_it)
        receipt = {"path": name, "revision": revision, "size_bytes": len(bytes_of_it), "digest": digest(str(self.sent))}
        with self.database.write() as connection:
            row = {"session_id": self.session_id, "location": location, "mtime_ns": there.stat().st_mtime_ns}
            take_path(connection, self.session_id, name)  # refused for no name that the receiver has given
            connection.execute(insert(files).values(**receipt, **row, committed_at=self.moment))
        body = ExposureRecord.model_validate(record(answer, path, content, receipt))
        with self.database.write() as connection:
            publish(connection, (), self.session_id, body)

    @rule(number=AGENTS, path=st.sampled_from(PATHS), reason=st.sampled_from(["retry", "late-input"]))
    def do_again(self, number: int, path: str, reason: str) -> None:
        local = self.agents[number].journal.get(path)
        if local is not None and local.is_released:
            local.reason, local.is_released, local.is_aligned = ClaimReason(reason), False, False

    @rule(number=AGENTS, is_another=st.booleans())
    def lose_journal(self, number: int, is_another: bool) -> None:
        self.agents[number].journal.clear()
        if is_another:
            self.agents[number].agent = uuid4()

    @rule()
    def be_silent(self) -> None:
        self.moment += timedelta(seconds=LEASE_S + 1)
        self.repeat_claims()

    def repeat_claims(self) -> None:
        """Let no agent send by an answer that is old: it claims again before it sends."""
        for agent in self.agents:
            for local in agent.journal.values():
                local.answer = None

    # the receiver

    @rule(number=st.integers(0, 20))
    def lose_a_file(self, number: int) -> None:
        there = sorted((self.data / "sessions").rglob("*.mrc"))
        if there:
            there[number % len(there)].unlink()
            self.compare_everything()

    @rule()
    def take_a_copy(self) -> None:
        shutil.rmtree(self.folder / "copy", ignore_errors=True)
        shutil.copytree(self.data, self.folder / "copy")

    @precondition(lambda self: (self.folder / "copy").exists())
    @rule()
    def go_back_to_the_copy(self) -> None:
        self.database.close()
        shutil.rmtree(self.data)
        shutil.copytree(self.folder / "copy", self.data)
        self._open()
        self.repeat_claims()
        self.account()
        self.compare_everything()

    def compare_everything(self) -> None:
        """Let all agents ask for all that they have sent, as the receiver's state tells them to."""
        for number, agent in enumerate(self.agents):
            for path, local in agent.journal.items():
                if local.is_released:
                    answer = self.ask(number, path, local)
                    local.is_aligned = False
                    assert answer.status in (ClaimStatus.COMMITTED, ClaimStatus.CLAIMED, ClaimStatus.ELSEWHERE)

    # what must hold

    def published(self) -> dict[str, set[UUID]]:
        """Return the exposures that have a record of a movie, by the movie's digest."""
        found: dict[str, set[UUID]] = {}
        with self.database.read() as connection:
            rows = connection.execute(
                select(exposures.c.exposure_id, exposure_records.c.record).join_from(exposure_records, exposures)
            )
            for exposure_id, text in rows:
                values: dict[str, Any] = json.loads(text)
                found.setdefault(values["provenance"]["movie_digest"], set()).add(exposure_id)
        return found

    @invariant()
    def each_movie_is_one_exposure(self) -> None:
        if hasattr(self, "folder"):
            assert all(len(ids) == 1 for ids in self.published().values())

    @invariant()
    def no_two_exposures_share_a_name(self) -> None:
        if hasattr(self, "folder"):
            with self.database.read() as connection:
                stems = connection.scalars(select(claimed_exposures.c.stem)).all()
                texts = connection.scalars(select(exposure_records.c.record)).all()
            names = {(stem + suffix).lower(): stem for stem in stems for suffix in (".mrc", "_noDW.mrc", ".json")}
            assert len(names) == 3 * len(stems)
            folders = {stem.rpartition("/")[0] for stem in stems}
            assert len({folder.lower() for folder in folders}) == len(folders)
            owners: dict[str, str] = {}
            for values in map(json.loads, texts):
                for file in values["files"]:
                    assert owners.setdefault(file["path"], values["exposure_id"]) == values["exposure_id"]

    def account(self) -> SessionAccount:
        """Return where the exposures are, which adds up."""
        with self.database.read() as connection:
            account = accounts_of(connection, [self.session_id], (), self.moment)[self.session_id]
        assert account.adds_up, account.line()
        return account

    def finish_everything(self) -> None:
        """Let every agent work until it has nothing to do."""
        for _ in range(4):
            for number in range(len(self.agents)):
                for path in PATHS:
                    self.claim_movie(number, path)
                    self.send_movie(number, path, True)
            self.be_silent()
        self.each_movie_is_one_exposure()
        self.no_two_exposures_share_a_name()
        published = self.published()
        account = self.account()
        assert account.accepted == len(set().union(*published.values())), account.line()
        there = {digest(content) for content in self.disk.values()}
        with self.database.read() as connection:
            lost = select(movies.c.movie_digest).join_from(movies, claimed_exposures).where(is_in_flight())
            assert not there & set(connection.scalars(lost)), "an exposure that was published is counted twice"
        for path, content in self.disk.items():
            assert digest(content) in published, f"{path} is lost"
        for agent in self.agents:
            assert all(agent.journal[path].is_released for path in self.disk)


@pytest.mark.timeout(3600 if LONG else 300)
def test_each_movie_is_one_exposure_whatever_happens() -> None:
    run_state_machine_as_test(
        ClaimMachine if LONG else seed(1)(ClaimMachine),
        settings=settings(
            **(LONG_RUN if LONG else SHORT_RUN),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate],
        ),
    )
