"""Builds the receiver's application: `create_app(settings)`."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from api.access.guard import include_guarded
from api.access.tokens import RecentTokens
from api.database.tables import now
from api.errors import DataFolderInUse
from api.http import openapi, problems
from api.http.client_addresses import ClientAddresses
from api.http.control_bodies import ControlBodies
from api.http.front_door import FRONT, Front, FrontDoor
from api.http.protocol_versions import ProtocolVersions
from api.http.request_rates import RequestRates
from api.once_a_run import ONCE_A_RUN, OnceARun
from api.receiver import Receiver
from api.routes import (
    agents,
    claims,
    events,
    exports,
    exposures,
    files,
    health,
    session_metadata,
    sessions,
    thresholds,
    uploads,
    verdicts,
    verifications,
)
from api.settings import ReceiverSettings
from api.start_lines import connection_limits
from api.store import promises
from api.store.folder_identity import prepare_database
from api.store.judging import due_sessions, judge_within
from api.store.recovery import recover
from api.store.silent_agents import AgentNews, SilentAgents
from api.store.storage import Storage
from api.store.withdraw import sweep
from transfer.disk.locks import FileLock, file_lock
from transfer.platform import give_freed_memory_back, on_hangup
from transfer.terminal.log_lines import log_to_stderr
from transfer.terminal.streams import escape_outputs
from transfer.wire.versions import SpokenVersions

log = logging.getLogger(__name__)

ROUTERS = tuple(
    module.router
    for module in (
        *(files, uploads, sessions, claims, exposures, thresholds, verdicts),
        *(agents, events, session_metadata, exports, verifications, health),
    )
)
SWEEP_EVERY_S = 600.0
ONE_REQUEST_EXPIRY_S = 600.0
LOOK_FOR_SILENCE_EVERY_S = 10.0
LOOK_FOR_DUE_JUDGEMENTS_EVERY_S = 1.0
LOOK_FOR_LEFT_UPLOADS_EVERY_S = 0.5


@contextmanager
def prepared(settings: ReceiverSettings) -> Iterator[None]:
    """Lock the data folder for one run of the receiver; make it, migrate the database, recover from the last run.

    Raises
    ------
    DataFolderUnusable, DataFolderInUse, WrongDatabase
    """
    Storage(settings.data, settings.reserve_bytes).prepare()
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(file_lock(settings.data / "receiver.lock", wait=False))
            with file_lock(settings.data / "workers.lock", wait=False):
                pass  # no worker of another run is still running
        except BlockingIOError as error:
            raise DataFolderInUse(
                f"another receiver uses the data folder {settings.data}; this one did not start"
            ) from error
        receiver = Receiver(settings)
        try:
            prepare_database(receiver.database, settings.data)
            recover(receiver.uploads, receiver.storage)
        finally:
            receiver.database.close()
        yield


async def _sweep_for_ever(receiver: Receiver) -> None:
    while True:
        try:
            count = await run_in_threadpool(_sweep, receiver)
            if count:
                log.info("withdrew %d unfinished uploads that got no more bytes", count)
        except (OSError, DBAPIError) as error:
            text = "could not withdraw old unfinished uploads, will try again: %s"
            log.warning(text, error, extra=ONCE_A_RUN)
        await asyncio.sleep(min(SWEEP_EVERY_S, receiver.settings.upload_expiry_s / 2))


def _sweep(receiver: Receiver) -> int:
    book, moment = receiver.uploads, now()
    expired = book.untouched_since(moment - timedelta(seconds=receiver.settings.upload_expiry_s))
    requests = book.untouched_since(moment - timedelta(seconds=ONE_REQUEST_EXPIRY_S))
    given_up = {upload.id: upload for upload in expired + [upload for upload in requests if upload.one_request]}
    return sweep(book, receiver.storage, list(given_up.values()))


async def _judge_for_ever(receiver: Receiver) -> None:
    """Judge exposures that a request or a process which has ended left to be judged by changed thresholds."""
    before: dict[int, int] = {}
    while True:
        await asyncio.sleep(LOOK_FOR_DUE_JUDGEMENTS_EVERY_S)
        with contextlib.suppress(SQLAlchemyError):  # requests that fail of the same cause log it
            due = await run_in_threadpool(due_sessions, receiver.database)
            left = [session_id for session_id, after in due.items() if before.get(session_id) == after]
            for session_id in left:  # nobody has gone on with these
                while not await run_in_threadpool(judge_within, receiver.database, session_id, 1.0):
                    pass
            before = due


async def _end_promises_for_ever(receiver: Receiver) -> None:
    while True:
        await asyncio.sleep(LOOK_FOR_LEFT_UPLOADS_EVERY_S)
        left = receiver.upload_connections.take_left(promises.END_AFTER_CLOSE_S)
        if left:
            with contextlib.suppress(OSError, DBAPIError):  # they end by their age
                await run_in_threadpool(receiver.uploads.end_promises, left)


async def _log_silent_agents_for_ever(receiver: Receiver) -> None:
    agents = SilentAgents(receiver.database, FileLock(receiver.settings.data / "agents.lock"))
    try:
        while True:
            await asyncio.sleep(LOOK_FOR_SILENCE_EVERY_S)
            with contextlib.suppress(OSError, SQLAlchemyError):  # requests that fail of the same cause log it
                for news in await run_in_threadpool(agents.look, receiver.clock()):
                    _log_agent(news)
    finally:
        agents.close()


def _log_agent(news: AgentNews) -> None:
    what = "reports again; it was silent since" if news.is_back else "has not reported since"
    log.log(
        logging.INFO if news.is_back else logging.WARNING,
        "session %s: agent %s on %r %s %s",
        *(news.session, news.agent, news.host, what, news.since.isoformat(timespec="seconds")),
    )


def _joined(settings: ReceiverSettings) -> contextlib.AbstractContextManager[None]:
    """Lock the data folder as a worker of a run whose main process has prepared it."""
    return file_lock(settings.data / "workers.lock", wait=True, shared=True)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    receiver: Receiver = app.state.receiver
    with _joined(receiver.settings) if receiver.settings.prepared else prepared(receiver.settings):
        receiver.start_checks()
        receiver.registrars.start()
        front: Front = app.state.front
        work = (
            *(_sweep_for_ever(receiver), _end_promises_for_ever(receiver)),
            *(_log_silent_agents_for_ever(receiver), front.refusals.log_for_ever()),
            _judge_for_ever(receiver),
        )
        tasks = [asyncio.create_task(one) for one in work]
        try:
            yield {FRONT: front}
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await run_in_threadpool(receiver.stop_checks)
            await run_in_threadpool(receiver.committed.close)
            await run_in_threadpool(receiver.registrars.stop)
            receiver.database.close()


def create_app(settings: ReceiverSettings, spoken: SpokenVersions | None = None) -> FastAPI:
    """Return the receiver as an ASGI application, which prepares the data folder when it starts.

    Parameters
    ----------
    settings
        What the operator decided.
    spoken
        Which versions of the protocol the receiver speaks; None: those of this software.
    """
    app = FastAPI(
        title="cryoferry",
        version=importlib.metadata.version("cryoferry"),
        description="Receives files of cryo-EM sessions, verified and durable, and hands them to registrars.",
        lifespan=_lifespan,
        docs_url=None,  # its page would load scripts from another server
        redoc_url=None,
        openapi_url=None,  # `api.routes.health` serves it, as a route that declares its permission
        redirect_slashes=False,
    )
    receiver = app.state.receiver = Receiver(settings, spoken)
    app.state.recent_tokens = RecentTokens()
    front = app.state.front = _front(settings)
    app.state.refusals = front.refusals
    app.state.control_bodies = ControlBodies(settings.body_timeout_s, settings.large_requests_bytes)
    for router in ROUTERS:
        include_guarded(app, router)
    problems.install(app)
    openapi.describe(app)
    app.add_middleware(ProtocolVersions, spoken=receiver.spoken)
    app.add_middleware(FrontDoor, front=front)  # the last one added is the first to see a request
    return app


def _front(settings: ReceiverSettings) -> Front:
    addresses = ClientAddresses(behind_proxy=settings.behind_proxy, proxies=settings.trusted_proxies)
    rate = settings.requests_without_token_per_s
    limits = connection_limits(settings)
    return Front(limits, addresses, RequestRates(address_per_s=rate, address_at_once=max(1, round(10 * rate))))


def quiet_uvicorn() -> None:
    """Keep uvicorn's reports of each process's start and end out of the log: `api.start_lines` has one for all."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def app_of_worker() -> FastAPI:
    """Return the application of one of several worker processes, with the settings from its environment."""
    give_freed_memory_back()
    on_hangup(None)  # a terminal that closes sends it to every process
    escape_outputs()
    log_to_stderr()
    quiet_uvicorn()
    settings = ReceiverSettings.from_environment()
    once = OnceARun(FileLock(settings.data / "log.lock"))
    for handler in logging.getLogger().handlers:
        handler.addFilter(once)
    return create_app(settings)
