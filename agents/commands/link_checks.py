"""Checks the way to the receiver, the receiver and the token; each finding says what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator

from agents.commands.finding import Finding, Machine
from transfer.client import ReceiverClient
from transfer.credentials import read_token
from transfer.link_probe import LARGEST_BODY_BYTES, TIMEOUT_S, certificate_days, proxy_name, refused_body
from transfer.wire.addresses import check_url
from transfer.wire.errors import TransferError, VersionMismatch
from transfer.wire.versions import agreed_version, our_versions

MUCH_SKEW_S = 60.0
LITTLE_VALIDITY_DAYS = 14


def examine_link(machine: Machine, url: str) -> Iterator[Finding]:
    """Yield what there is to say about the way to a receiver, the receiver, its clock, and the token."""
    try:
        check_url(url, clear_text=machine.clear_text)
        proxy = proxy_name(url)
    except TransferError as error:
        yield Finding("receiver", "fail", str(error), error.hint)
        return
    if proxy:
        yield Finding("proxy", "ok", f"requests go through {proxy}")
    try:
        with ReceiverClient(url, None, ca=machine.ca, clear_text=machine.clear_text, timeout_s=TIMEOUT_S) as client:
            began_s = time.time()
            client.check_reachable()
            here_s, there_s = (began_s + time.time()) / 2, client.answered_at_s
    except TransferError as error:
        yield Finding("receiver", "fail", str(error), error.hint)
        return
    yield Finding("receiver", "ok", f"{url} answers ({'TLS' if url.startswith('https') else 'no TLS'})")
    yield from _certificate(machine, url)
    yield _clock(there_s, here_s)
    yield from _token(machine, url)


def _certificate(machine: Machine, url: str) -> Iterator[Finding]:
    try:
        days = certificate_days(url, machine.ca)
    except OSError as error:
        yield Finding("certificate", "fail", f"it cannot be read: {error}", "Check the receiver's certificate.")
        return
    if days is None:
        return
    text = f"valid for {days:.0f} more days"
    if days < LITTLE_VALIDITY_DAYS:
        what = "Renew it on the receiver, which reads the new files by itself."
        yield Finding("certificate", "warn", text, what)
    else:
        yield Finding("certificate", "ok", text)


def _clock(there_s: float | None, here_s: float) -> Finding:
    if there_s is None:
        return Finding("clock", "warn", "not compared: the answer has no Date", "Check whether a proxy removes it.")
    skew_s = there_s - here_s  # Date has whole seconds
    text = f"the receiver's clock is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}"
    if abs(skew_s) > MUCH_SKEW_S:
        return Finding(
            "clock", "warn", text, "Set both clocks by NTP: tokens expire, and logs are compared, by these clocks."
        )
    return Finding("clock", "ok", text)


def _token(machine: Machine, url: str) -> Iterator[Finding]:
    try:
        with ReceiverClient(
            url, read_token(machine.token_file), ca=machine.ca, clear_text=machine.clear_text, timeout_s=TIMEOUT_S
        ) as client:
            service, names = client.service(), [session.name for session in client.sessions()]
            bodies = _bodies(client)
    except TransferError as error:
        yield Finding("token", "fail", str(error), error.hint)
        return
    if machine.session is not None and machine.session not in names:
        what = "Nothing, if it is new: `cryoferry watch` starts it, if the token is for it."
        yield Finding("token", "warn", f"accepted; the session {machine.session} does not exist yet", what)
    else:
        yield Finding("token", "ok", f"accepted; sessions: {', '.join(names) or 'none yet'}")
    yield bodies
    try:
        agreed = agreed_version(our_versions(), service.spoken)
    except VersionMismatch as error:
        yield Finding("version", "fail", str(error), error.hint)
        return
    text = f"cryoferry {service.version}, protocol {agreed}, {service.free_bytes / 1e9:.0f} GB free there"
    yield Finding("version", "ok", text)


def _bodies(client: ReceiverClient) -> Finding:
    refused, size = refused_body(client), f"a request with {LARGEST_BODY_BYTES >> 20} MiB"
    if refused is not None:
        return Finding("bodies", "fail", f"{size}: {refused}", refused.hint)
    return Finding("bodies", "ok", f"{size} gets through")
