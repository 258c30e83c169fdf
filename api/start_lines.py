"""Logs how the receiver starts and why it ends, one line each."""

from __future__ import annotations

import importlib.metadata
import logging
import signal

from api.database.engine import described
from api.http.connections import ConnectionLimits
from api.settings import ReceiverSettings
from transfer.platform import open_files_limit

log = logging.getLogger(__name__)

FEW_FILES, ENOUGH_FILES = 1024, 4096
"""With few open files, the receiver keeps so few connections open that several agents together may lack them."""


def connection_limits(settings: ReceiverSettings) -> ConnectionLimits:
    """Return how many connections each process keeps open. The limit on open files is raised for this."""
    if settings.max_connections is None:
        return ConnectionLimits.of_descriptors(open_files_limit())
    return ConnectionLimits.of_total(settings.max_connections)


def log_start(settings: ReceiverSettings, url: str, workers: int) -> None:
    """Log what starts, where, and within which limits."""
    limits, files = connection_limits(settings), open_files_limit()
    log.info(
        "cryoferry %s receives at %s: data in %s, database %s, %d worker%s",
        *(importlib.metadata.version("cryoferry"), url, settings.data, described(settings.database_url), workers),
        "" if workers == 1 else "s",
    )
    log.info(
        "limits of each worker: %d connections, %d of them without a valid token, %d of these from one address; %d open"
        " files; %g requests a second without a valid token from one address",
        *(limits.most, limits.most_without_token, limits.most_of_address, files),
        settings.requests_without_token_per_s,
    )
    log.info(
        "limits on space: a file has at most %.4g GB, %.3g GB of the disk stay free",
        settings.max_file_bytes / 1e9,
        settings.reserve_bytes / 1e9,
    )
    if files < FEW_FILES and settings.max_connections is None:
        log.warning(
            "the system permits only %d open files for one process, so each keeps at most %d connections open:"
            " permit %d or more (systemd: LimitNOFILE=; a shell: ulimit -Hn)",
            *(files, limits.most, ENOUGH_FILES),
        )


def log_ending(number: int, drain_s: float) -> None:
    """Log that a signal ends the receiver."""
    name = signal.Signals(number).name
    log.info("%s: the receiver ends; requests in progress have %g s to be answered", name, drain_s)


def log_end(reason: str) -> None:
    """Log that the receiver has ended."""
    log.info("the receiver has ended: %s", reason)


def log_lost_worker(pid: int | None, exit_code: int | None) -> None:
    """Log that one of several processes died, or hangs and is killed; another one is started."""
    if exit_code is None:
        reason = "does not answer and is killed"
    elif exit_code < 0:
        reason = f"died of {_signal_name(-exit_code)}"
    else:
        reason = f"ended with exit code {exit_code}"
    log.error("worker process %s %s", pid, reason)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
