"""`cryoferry status --to URL` on any machine: what the receiver knows of a session, its exposures and its agents."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from enum import StrEnum
from json import dumps
from typing import TYPE_CHECKING, Any

import typer

from agents.commands.exposure_filter import ExposureFilter, checked_states
from agents.commands.exposure_lines import ExposureLine, left_out_text, one_line, print_lines, print_text
from agents.commands.exposure_text import since
from agents.commands.local_status import (
    print_account,
    registered_text,
    session_counts,
    session_state,
    waiting_lines,
)
from agents.commands.receiver_access import ReceiverAccess, pages, registrars_of
from configuration import ConfigError
from transfer.commands.shared import stderr_console, stdout_console
from transfer.terminal.lines import print_line
from transfer.wire.figures import CTF_DEFOCUS_U, CTF_DEFOCUS_V, CTF_RELIABLE, CTF_RESOLUTION

if TYPE_CHECKING:
    from transfer.client import ReceiverClient
    from transfer.wire.agent_status import DiskSpace, KnownAgent, LastError
    from transfer.wire.protocol import Exposure, Service, Session

_SILENT_S = 60.0


class PublishedState(StrEnum):
    """How far the registrars are with a published exposure, all together."""

    PENDING = "pending"  # some registrar has not registered it yet, and none has failed to
    REGISTERED = "registered"  # every registrar has registered it
    FAILED = "failed"  # some registrar could not register it


_STYLES = {PublishedState.PENDING: "cyan", PublishedState.REGISTERED: "bold green", PublishedState.FAILED: "bold red"}


def state_of(exposure: Exposure) -> PublishedState:
    """Return how far the registrars are with an exposure."""
    states = set(registrars_of(exposure).values())
    if PublishedState.FAILED.value in states:
        return PublishedState.FAILED
    return PublishedState.PENDING if PublishedState.PENDING.value in states else PublishedState.REGISTERED


def show_receiver(
    receiver: ReceiverAccess, session: str | None, wanted: ExposureFilter, *, full: bool, as_json: bool
) -> None:
    """Print the receiver's view of a session; without a name, of the only one that the token may see, or a list.

    Raises
    ------
    ConfigError
        There is no state of a name that the user gave, or a filter was given and the session is not named.
    TransferError
    """
    states = {*checked_states(wanted.states, PublishedState), *([PublishedState.FAILED] if wanted.failed else [])}
    with receiver.client() as client:
        shown = client.session(session) if session is not None else _only_session(client, wanted, as_json=as_json)
        if shown is None:
            return
        agents = _agents(client, shown.name)
        if as_json:
            count, left_out = _print_objects(client, shown, wanted, states)
            service = client.service()
            whole = {
                "session": shown.name,
                **shown.model_dump(mode="json", exclude={"name", "state"}),
                "session_state": shown.state.value,
                "account": shown.account and shown.account.as_json(),
                "agents": agents and [agent.model_dump(mode="json") for agent in agents],
                "receiver_url": receiver.url,
                "receiver_version": service.version,
                "receiver_free_bytes": service.free_bytes,
                "listed": count,
                "left_out": left_out,
            }
            typer.echo(dumps(whole))
        elif wanted.is_asked_for:
            _print_list(client, shown, wanted, states, full=full)
            if wanted.failed:
                _print_last_errors(agents or ())
        else:
            service = client.service()
            now_s = client.answered_at_s or time.time()
            _print_session(receiver, shown, service, now_s)
            _print_agents(agents, now_s)


def _agents(client: ReceiverClient, session: str) -> tuple[KnownAgent, ...] | None:
    """Return the agents that reported to a session; None: the receiver is older and keeps no reports."""
    from transfer.wire.errors import NotFound, ProtocolMismatch

    try:
        return client.agents(session)
    except (NotFound, ProtocolMismatch):
        return None


def _only_session(client: ReceiverClient, wanted: ExposureFilter, *, as_json: bool) -> Session | None:
    """Return the only session that the token may see; print what there is if there are others, or none."""
    sessions = client.sessions()
    if len(sessions) == 1:
        return sessions[0]
    if wanted.is_asked_for and sessions:
        names = ", ".join(one.name for one in sessions[:10]) + (", …" if len(sessions) > 10 else "")
        raise ConfigError(f"there are several sessions: {names}", hint="Give one of them with --session NAME.")
    for one in sessions:
        started = since(one.created_at.timestamp())
        counts = session_counts(one) if one.account is None else one.account.line()
        line = f"{one.name}: {session_state(one)}, started {started} ago; {counts}"
        typer.echo(dumps(one.model_dump(mode="json"))) if as_json else print_line(one_line(line))
    if not as_json:
        text = "--session NAME shows one of them." if sessions else "No session was started on this receiver."
        stderr_console().print(text, markup=False)
    return None


# ---- the session and its agents


def _print_session(receiver: ReceiverAccess, session: Session, service: Service, now_s: float) -> None:
    from rich.filesize import decimal

    console, started = stdout_console(), since(session.created_at.timestamp(), now_s=now_s)
    print_text(console, f"Session {session.name} at {receiver.url}, cryoferry {service.version}")
    print_text(console, f"{session_state(session)}, started {started} ago; {session_counts(session)}")
    print_account(None, session.account)
    for registrar, project in session.projects.items():
        print_text(console, f"{registrar}: {project}", indent=2)
    for line in waiting_lines(session, now_s=now_s):
        print_text(console, line, "yellow", indent=2)
    print_text(console, f"{decimal(service.free_bytes)} are free on the receiver's disk")


def _print_agents(agents: tuple[KnownAgent, ...] | None, now_s: float) -> None:
    """Print the last report of each agent; `now_s` is the receiver's time, as that of the reports is."""
    console = stdout_console()

    def say(text: str, style: str = "") -> None:
        print_text(console, text, style, indent=2)

    if not agents:
        none = "This receiver is older and keeps no reports of agents." if agents is None else ""
        print_line()
        print_line(none or "No agent has reported to this session.")
    for known in agents or ():
        status, reported_at = known.status, known.reported_at.timestamp()
        print_line()
        paused = ", paused" if status.paused else ""
        print_text(console, f"Agent on {status.host}, cryoferry {status.version}{paused}")
        ended, is_silent = status.lease == "release", now_s - reported_at > _SILENT_S
        ago = since(reported_at, now_s=now_s)
        text = f"reported {ago} ago"
        if ended:
            say(f"ended {ago} ago")
        elif is_silent:
            say(f"{text}: it has ended, or it cannot reach the receiver", "yellow")
        else:
            say(text)
        counts = ", ".join(f"{count:,} {state}" for state, count in status.counts.items() if count)
        say(counts or "no movie found yet")
        if rates := _rates(known):
            say(rates)
        if status.disk is not None:
            say(_disk(status.disk), "yellow" if status.disk.work_free_bytes < status.disk.work_reserve_bytes else "")
        for trouble in status.troubles:
            say(trouble, "yellow")
        if status.last_error is not None:
            say(_last_error(status.last_error))


def _rates(known: KnownAgent) -> str:
    from rich.filesize import decimal

    rates, stages = known.status.rates, known.status.stage_seconds
    words = [
        "" if rates.movies_per_hour is None else f"{rates.movies_per_hour:,.0f} movies/h over the last hour",
        "" if rates.upload_bytes_per_s is None else f"{decimal(int(rates.upload_bytes_per_s))}/s",
        *(f"{name} takes {seconds:.1f} s a movie" for name, seconds in stages.items()),
    ]
    return ", ".join(filter(None, words))


def _disk(disk: DiskSpace) -> str:
    from rich.filesize import decimal

    limit = f"; it stops aligning below {decimal(disk.work_reserve_bytes)}" if disk.work_reserve_bytes else ""
    return f"{decimal(disk.work_free_bytes)} are free for its work folder{limit}"


def _last_error(error: LastError) -> str:
    return f"last error, {since(error.at.timestamp())} ago: {error.text}"


def _print_last_errors(agents: tuple[KnownAgent, ...]) -> None:
    """Print on stderr what the agents report: an exposure that failed there is not on the receiver."""
    console = stderr_console()
    for known in agents:
        count = sum(known.status.counts.get(state, 0) for state in ("failed", "held"))
        if count and known.status.last_error is not None:
            text = f"{count:,} failed or held on the agent's side ({known.status.host}), so not on the receiver"
            console.print(one_line(f"{text}; {_last_error(known.status.last_error)}"), markup=False)


# ---- exposures


def _fitting(
    client: ReceiverClient, session: Session, wanted: ExposureFilter, states: set[PublishedState], most: int | None
) -> tuple[list[Exposure], int]:
    """Return the newest exposures that fit, in the order of their publication, and how many older ones are left out."""
    if (
        states == {PublishedState.FAILED}
        and session.failed_count is not None
        and not any(session.failed_count.values())
    ):
        return [], 0
    kept: deque[Exposure] = deque(maxlen=most)
    count, read, fits = 0, 0, wanted.fits()
    console = stderr_console()
    exposure_id = wanted.exposure_id()
    reading = console.status("reading the receiver's list") if console.is_terminal else nullcontext()
    with reading as shown:
        for page in pages(client, session.name):
            for exposure in page:
                record = exposure.record
                is_named = fits is None or fits(record.movie) or exposure_id == str(record.exposure_id)
                is_new = wanted.since is None or (_sent_at(exposure) or 0.0) >= wanted.since
                if is_named and is_new and (not states or state_of(exposure) in states):
                    kept.append(exposure)
                    count += 1
            read += len(page)
            if shown is not None:
                shown.update(f"reading the receiver's list: {read:,} of {session.exposure_count:,} exposures")
    return list(kept), count - len(kept)


def _sent_at(exposure: Exposure) -> float | None:
    """Return when the agent had sent an exposure, in seconds since 1970 by the agent's clock; None: unknown."""
    sent: datetime | None = exposure.record.times.sent
    return None if sent is None else sent.timestamp()


def _failures(exposure: Exposure) -> str:
    return "; ".join(f"{each.registrar}: {each.detail}" for each in exposure.registrations if each.detail)


def _print_objects(
    client: ReceiverClient, session: Session, wanted: ExposureFilter, states: set[PublishedState]
) -> tuple[int, int]:
    """Print one object for each exposure that fits, if the user wants a list; return how many, and how many not."""
    if not wanted.is_asked_for:
        return 0, session.exposure_count
    found, left_out = _fitting(client, session, wanted, states, wanted.most_lines(as_json=True))
    for exposure in found:
        typer.echo(dumps(_as_json(exposure)))
    return len(found), left_out


def _as_json(exposure: Exposure) -> dict[str, Any]:
    record = exposure.record
    return {
        "exposure_id": str(record.exposure_id),
        "movie": record.movie,
        "label": record.label,
        "state": state_of(exposure).value,
        "reason": _failures(exposure),
        "revision": record.revision,
        "motion_angstrom": record.figures.get("motion_total_angstrom"),
        "ctf_defocus_um": _defocus_um(record.figures),
        "ctf_resolution_angstrom": record.figures.get(CTF_RESOLUTION),
        "ctf_reliable": None if CTF_RELIABLE not in record.figures else bool(record.figures[CTF_RELIABLE]),
        "warnings": [warning.text for warning in record.warnings],
        "sent_at": _sent_at(exposure),
        "registered": registrars_of(exposure),
    }


def _print_list(
    client: ReceiverClient, session: Session, wanted: ExposureFilter, states: set[PublishedState], *, full: bool
) -> None:
    found, left_out = _fitting(client, session, wanted, states, wanted.most_lines(as_json=False))
    console = stderr_console()
    if found:
        print_lines([_line(exposure) for exposure in found], stdout_console(), full=full)
    else:
        words = wanted.in_words().replace("failed or held", "failed in a registrar")
        none = f"No exposure is {words}." if words else "No exposure is published yet."
        console.print(f"{none} The receiver has {session.exposure_count:,} exposures of this session.", markup=False)
    if left_out:
        console.print(left_out_text(left_out), markup=False)


def _line(exposure: Exposure) -> ExposureLine:
    record, state, sent_at = exposure.record, state_of(exposure), _sent_at(exposure)
    motion = record.figures.get("motion_total_angstrom")
    return ExposureLine(
        state=state.value,
        style=_STYLES[state],
        since="" if sent_at is None else since(sent_at),
        motion="" if motion is None else f"{motion:.1f} Å",
        ctf=_ctf_text(record.figures),
        registered=registered_text(registrars_of(exposure)),
        movie=record.movie + (f" (revision {record.revision})" if record.revision > 1 else ""),
        reason=_failures(exposure) or "; ".join(warning.text for warning in record.warnings),
    )


def _ctf_text(figures: Mapping[str, float]) -> str:
    """Return defocus and fit resolution of a reliable CTF; `unreliable` or nothing otherwise."""
    defocus = _defocus_um(figures)
    if defocus is None:
        return ""
    return f"{defocus:.2f} µm, {figures[CTF_RESOLUTION]:.1f} Å" if figures.get(CTF_RELIABLE, 1) else "unreliable"


def _defocus_um(figures: Mapping[str, float]) -> float | None:
    """Return the mean defocus; None where there is no CTF."""
    if not {CTF_DEFOCUS_U, CTF_DEFOCUS_V, CTF_RESOLUTION} <= figures.keys():
        return None
    return round((figures[CTF_DEFOCUS_U] + figures[CTF_DEFOCUS_V]) / 2e4, 4)
