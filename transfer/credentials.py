"""Reads the token, and reads it again when its file changes. It is never shown in a message or a log."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

from transfer.wire.errors import AuthRejected, TokenMissing, TokenUnusable, TransferError

TOKEN_VARIABLE = "CRYOFERRY_TOKEN"  # noqa: S105 - the variable's name, not a token
_MOST_BYTES = 1 << 16
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_PLAIN = "Save it as plain text (ASCII or UTF-8 without a byte order mark). It must hold the token alone, in one line."
_ALONE = "It must hold the token alone: one line that begins with `cf_`."
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"


def check_token(token: str) -> str:
    """Return the token without spaces around it, if it can be sent in an HTTP header.

    Raises
    ------
    AuthRejected
    """
    token = token.strip()
    if not _TOKEN.fullmatch(token):
        raise AuthRejected("the token is empty, or has characters that no token has")
    return token


def read_token(token_file: Path | None) -> str:
    """Return the token in a file; without a file, the one in the variable CRYOFERRY_TOKEN.

    Spaces and line ends around the token are ignored, those of Windows included.

    Raises
    ------
    TokenMissing
        There is no file and no variable, or the file cannot be read or is empty.
    TokenUnusable
        The file or the variable holds something else than one token; the text says what.
    """
    if token_file is None:
        if not (text := os.environ.get(TOKEN_VARIABLE, "")):
            raise TokenMissing
        return _only_token(text, f"the variable {TOKEN_VARIABLE}")
    if re.match(r"cf_[a-z0-9]{8}_", token_file.name):
        raise TokenMissing("--token-file was given a token; it needs the name of a file that holds the token")
    place = f"the token file {token_file}"
    try:
        with token_file.open("rb") as file:
            content = file.read(_MOST_BYTES)
    except OSError as error:
        raise TokenMissing(f"{place} cannot be read: {error.strerror}") from error
    text = _text(content, place)
    if not text.strip():
        raise TokenMissing(f"{place} is empty")
    return _only_token(text, place)


def _text(content: bytes, place: str) -> str:
    """Return a file's text.

    Raises
    ------
    TokenUnusable
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or (content and b"\0" in content[:8]):
        raise TokenUnusable(f"{place} is in UTF-16, as some programs on Windows save text", hint=_PLAIN)
    if content.startswith(b"\xef\xbb\xbf"):
        raise TokenUnusable(f"{place} begins with a byte order mark (BOM)", hint=_PLAIN)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TokenUnusable(f"{place} holds no text", hint=_PLAIN) from error


def _only_token(text: str, place: str) -> str:
    """Return the token if a text holds nothing else.

    Raises
    ------
    TokenUnusable
        It says what else the text holds, without any part of it that could be secret.
    """
    text = text.strip()
    if _TOKEN.fullmatch(text) and not re.match(r"\w+=cf_", text):
        return text
    if what := _what_is_wrong(text):
        raise TokenUnusable(f"{place} {what}", hint=_ALONE)
    raise TokenUnusable(f"{place} holds characters that no token has", hint=_ALONE)


def _what_is_wrong(text: str) -> str:
    """Return what a text holds beside one token; empty if that is not known."""
    count = sum(1 for line in text.splitlines() if line.strip())
    invisible = next((each for each in text if not each.isprintable()), "")
    found = {
        "begins with a byte order mark (BOM)": text.startswith("\ufeff"),
        "holds JSON, such as `token create --json` prints; it needs the value of `token` alone": text.startswith("{"),
        f"has {count} lines with text; which one is the token is not clear": count > 1,
        "has quotation marks around the token": text[:1] in _QUOTES or text[-1:] in _QUOTES,
        "has the word `Bearer` before the token": re.match(r"(authorization\s*:\s*)?bearer\b", text, re.IGNORECASE),
        "has the name of a variable before the token": re.match(r"(export\s+|set\s+|\$env:)?\w+\s*[=:]", text),
        f"holds an invisible character (U+{ord(invisible or ' '):04X})": invisible,
        f"has {len(text.split())} words; it needs the token alone": len(text.split()) > 1,
    }
    return next((what for what, is_so in found.items() if is_so), "")


class TokenSource:
    """A token that is read again when its file changes, and after the receiver refused it.

    Parameters
    ----------
    token_file
        The file; None: the variable CRYOFERRY_TOKEN, which stays as it is.

    Raises
    ------
    TokenMissing, TokenUnusable
        There is no token now. Later, the one that was read before stays in use.
    """

    def __init__(self, token_file: Path | None) -> None:
        self._file = token_file
        self._lock = threading.Lock()
        self._signature = self._signature_now()
        self._token = read_token(token_file)

    @property
    def file(self) -> Path | None:
        """The file that the token is read from."""
        return self._file

    def current(self) -> str:
        """Return the token for the next request."""
        with self._lock:
            signature = self._signature_now()
            if signature is not None and signature != self._signature:
                self._read(signature)
            return self._token

    def has_another_than(self, refused: str) -> bool:
        """Return whether the file holds another token than one that the receiver has refused."""
        with self._lock:
            signature = self._signature_now()
            if signature is not None:
                self._read(signature)
            return self._token != refused

    def _read(self, signature: tuple[int, int, int]) -> None:
        try:
            self._token = read_token(self._file)
        except TransferError:
            return  # it is being written, or holds no token: the one before is tried on
        self._signature = signature

    def _signature_now(self) -> tuple[int, int, int] | None:
        if self._file is None:
            return None
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
