"""What the wire's contract is tested on: receivers on SQLite and a private PostgreSQL server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.wire.claiming import Clock, HandAgent
from tests.faults.campaign import note_figures
from tests.running import free_port

__all__ = ["note_figures"]

ON_BOTH_DATA_PLANES = {"test_bodies", "test_compressed_bodies", "test_upload_machine"}
ON_BOTH_DATABASES = {
    "test_upload_answers",
    "test_session_answers",
    "test_agent_answers",
    "test_claims",
    "test_leases",
    "test_names_in_case",
    "test_plans",
    "test_racing",
    "test_verdicts",
}
NOT_OF_THE_DATABASE = {
    "test_a_body_longer_or_shorter_than_its_range",
    "test_a_chunk_that_is_on_its_way_keeps_the_commit_waiting",
    "test_a_silent_client_is_cut_off",
    "test_large_requests_take_bounded_memory",
    "test_limits",
    "test_names_that_may_be",
    "test_no_space",
    "test_several_chunks_in_one_body_with_sha_256",
}
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=60")


def server_programs() -> Path | None:
    """Return the folder of the newest PostgreSQL server's programs; Debian keeps them off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class Cluster:
    """A PostgreSQL server on a free port of this machine, run by an ordinary user."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # Not in pytest's own folder, which no other user may enter.
        self._folder = Path(tempfile.mkdtemp(prefix="cryoferry-postgresql-"))
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:  # as whom the server refuses to run
            names = {entry.pw_name for entry in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._port = free_port()
        initdb = ("initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "cryoferry")
        self._run(*initdb, "-D", self._folder / "data")
        self.start()
        self._shared = ""

    def url(self, database: str) -> str:
        return f"postgresql://cryoferry:not-asked-for@127.0.0.1:{self._port}/{database}"

    def new_database(self) -> str:
        """Return the URL of a database that nobody else uses."""
        import psycopg

        name = f"x{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def emptied_database(self) -> str:
        """Return the URL of the one database that receivers use one after the other, without anything of the last one.

        Making a database for each would cost seconds.
        """
        from sqlalchemy import insert, text

        from api.database.engine import Database
        from api.database.tables import data_folder, metadata

        if not self._shared:
            self._shared = self.new_database()
            return self._shared
        database = Database(self._shared)
        with database.write() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY"))
            connection.execute(insert(data_folder).values(id=1, sequence=0, losses=0, file_check=""))
        database.close()
        return self._shared

    def start(self) -> None:
        options = [f"port={self._port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}", *FAST]
        joined = " ".join(f"-c {option}" for option in options)
        self._run("pg_ctl", "-D", self._folder / "data", "-l", self._folder / "log", "-w", "-o", joined, "start")

    def stop(self, mode: str) -> None:
        self._run("pg_ctl", "-D", self._folder / "data", "-w", "-m", mode, "stop")

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # no pipe: the server would keep it open
            stderr=subprocess.DEVNULL,
            check=False,
            **self._user,
        )
        log = self._folder / "log"
        assert done.returncode == 0, f"{program} {arguments}: {log.read_text() if log.exists() else done.returncode}"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """Return a PostgreSQL server."""
    programs = server_programs()
    if programs is None:
        pytest.skip("needs PostgreSQL's server (Debian: apt-get install postgresql)")
    cluster = Cluster(programs)
    yield cluster
    cluster.remove()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the contract's main tests on both databases and over both data planes."""
    module = metafunc.module.__name__.rpartition(".")[2]
    main = module in ON_BOTH_DATABASES and metafunc.function.__name__ not in NOT_OF_THE_DATABASE
    varied = metafunc.definition.get_closest_marker("parametrize")  # by what no database sees
    if "make_receiver" not in metafunc.fixturenames:
        return
    if main and not varied:  # each database with one of the data planes, which see nothing of each other
        pairs = [("sqlite", "socket"), ("postgresql", "stream")]
        metafunc.parametrize(("database_url", "data_plane"), pairs, indirect=["database_url"])
    elif module in ON_BOTH_DATA_PLANES or metafunc.function.__name__ in NOT_OF_THE_DATABASE:
        metafunc.parametrize("data_plane", ["socket", "stream"])
    elif module == "test_postgresql":
        metafunc.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Return the URL of the receivers' database; None: their own SQLite."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    url: str = request.getfixturevalue("postgresql").emptied_database()
    return url


@pytest.fixture
def data_plane() -> str:
    """Return how the receivers read bodies."""
    return "socket"


@pytest.fixture
def make_receiver(make_receiver, database_url, data_plane):
    """Return a function that starts a receiver on the test's database, with the test's data plane."""
    return lambda **settings: make_receiver(database=database_url, data_plane=data_plane, **settings)


@pytest.fixture
def clock(receiver) -> Clock:
    """Return the receiver's clock."""
    clock = Clock()
    receiver.app.state.receiver.clock = clock
    return clock


@pytest.fixture
def agent(wire, clock) -> HandAgent:
    """Return an agent of session s1."""
    return HandAgent(wire.http)


@pytest.fixture
def other(wire, clock) -> HandAgent:
    """Return another agent of session s1."""
    return HandAgent(wire.http)
