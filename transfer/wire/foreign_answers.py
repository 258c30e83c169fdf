"""Describes an answer that did not come from the receiver: its status, its page, its server, and what to do.

Proxies, firewalls, ingresses and login pages answer in the receiver's place. That says nothing about a file or an
exposure: it concerns the link.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from transfer.wire.errors import ForeignAnswer

Field = Callable[[str], str | None]
"""Returns the value of an answer's header field by its name; None: the answer does not have it."""

_LONGEST_PAGE_TEXT, _LONGEST_SERVER, _LONGEST_LOCATION = 60, 40, 100
_READ_BYTES = 1 << 13  # of a page, to find its title
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_NO_TEXT = re.compile(r"<(script|style)\b.*?</\1|<[^>]*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_GOES_ON = " Nothing is lost; uploads continue when the receiver answers again."
_TLS_TEXT = "plain http request was sent to https port"

_REDIRECTION = (
    "A redirection is not followed, because the token would go with it. If it leads to a login page, log this network"
    " in. If the receiver has moved, give its new URL."
)
_WHAT_TO_DO = {
    401: "Something in front of the receiver asks for a login of its own. Have it let requests to the receiver pass.",
    403: "A firewall or a proxy forbids the request. Have it permit GET, PUT, POST and DELETE to the receiver.",
    404: "Check the URL, its path included, and that the proxy or ingress there passes requests on to the receiver.",
    405: "A proxy does not permit the method. Have it pass GET, PUT, POST and DELETE on to the receiver.",
    407: "The proxy asks for a password. Write it into the variable: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT.",
    413: "A proxy limits the length of bodies. Permit at least 32 MiB there (nginx: `client_max_body_size 0`).",
    429: "Something in front of the receiver limits the number of requests. Have it except the receiver.",
    431: "A proxy limits the length of a request's head. Permit at least 8 kB there.",
    451: "A firewall or a proxy forbids the request. Have it permit GET, PUT, POST and DELETE to the receiver.",
    511: "This network asks for a login. Open a web browser on this machine and log in.",
}
_LOGIN_PAGE = (
    "It is perhaps the login page of this network: open the URL in a web browser on this machine. Check the URL."
)
_SERVER_AWAY = "A proxy cannot reach the receiver. Check that `cryoferry serve` runs behind it."
_OTHERWISE = "Check the URL, and what stands between this machine and the receiver: a proxy, a firewall."


def no_field(_name: str) -> None:
    """Return None: nothing is known of the answer's header."""


def foreign_answer(status: int, body: bytes, field: Field = no_field, *, where: str = "") -> ForeignAnswer:
    """Return the error that an answer did not come from the receiver.

    Parameters
    ----------
    status, body, field
        The answer.
    where
        What was asked, such as `GET https://vm.example.org/v1/service`.
    """
    page = page_text(body)
    shown = (f"HTTP {status}" if status else "no answer") + (f" with the text “{page}”" if page else "")
    if location := _cleaned(field("Location") or "", _LONGEST_LOCATION):
        shown += f", Location: {location}"
    if server := _cleaned(field("Server") or "", _LONGEST_SERVER):
        shown += f", Server: {server}"
    text = f"{where}: {shown}" if where else shown
    error = ForeignAnswer(f"{text}: this did not come from a cryoferry receiver", hint=_hint(status, page) + _GOES_ON)
    error.extra = {"status": status}
    return error


def no_http(where: str, what: str, *, hint: str = _OTHERWISE) -> ForeignAnswer:
    """Return the error that what answered does not speak the protocol that was expected."""
    return ForeignAnswer(f"{where}: {what}: this did not come from a cryoferry receiver", hint=hint + _GOES_ON)


def page_text(body: bytes) -> str:
    """Return the title of an HTML page, or the first words of any other text; empty if there is none."""
    text = body[:_READ_BYTES].decode("utf-8", errors="ignore")
    title = _TITLE.search(text)
    return _cleaned(html.unescape(title[1] if title else _NO_TEXT.sub(" ", text)), _LONGEST_PAGE_TEXT)


def printable(text: str) -> str:
    """Return the first words of a text in one line, without characters that a terminal would act on."""
    return _cleaned(text, _LONGEST_PAGE_TEXT)


def _cleaned(text: str, longest: int) -> str:
    """Return a text in one line, without characters that a terminal would act on."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def _hint(status: int, page: str) -> str:
    if _TLS_TEXT in page.lower():
        return "The port expects TLS: write https:// instead of http://."
    if status in _WHAT_TO_DO:
        return _WHAT_TO_DO[status]
    if 200 <= status < 300:
        return _LOGIN_PAGE
    if 300 <= status < 400:
        return _REDIRECTION
    return _SERVER_AWAY if status >= 500 else _OTHERWISE
