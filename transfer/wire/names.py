"""Which names may travel: a strict allow-list, checked on both sides."""

from __future__ import annotations

import re
import unicodedata

from transfer.wire.errors import BadName

_SEGMENT = re.compile(r"[\w .+=@#(),-]+")  # \w: letters and digits of every script
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"}
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def check_session_name(name: str) -> str:
    """Return the session's name if it may be one: 1 to 100 of `A-Z a-z 0-9 _ . -`, beginning with a letter or digit.

    Raises
    ------
    BadName
    """
    if not _SESSION.fullmatch(name) or name.endswith(".") or name.split(".", maxsplit=1)[0].lower() in _DEVICES:
        raise BadName(
            f"{name!r} cannot be a session's name",
            hint="Use 1 to 100 letters, digits, _ . or -, beginning with a letter or digit.",
        )
    return name


def check_path(path: str) -> str:
    """Return a file's relative path (`/` between folders) if every part of it is safe on every system.

    Raises
    ------
    BadName
        Empty, absolute, not NFC, longer than 1024 bytes, or a part that is `..`, hidden (leading dot), ends in a dot or
        space, is a Windows device, is longer than 255 bytes, or holds a character outside the allow-list.
    """
    if not path or len(path.encode(errors="surrogatepass")) > 1024:
        raise BadName(f"a path has 1 to 1024 bytes, this one has {len(path.encode(errors='surrogatepass'))}")
    if unicodedata.normalize("NFC", path) != path:
        raise BadName(f"{path!r} is not in Unicode's composed form (NFC)")
    for part in path.split("/"):
        if (
            not _SEGMENT.fullmatch(part)
            or part[0] in " ."
            or part[-1] in " ."
            or len(part.encode()) > 255
            or part.split(".")[0].rstrip(" ").lower() in _DEVICES
        ):
            raise BadName(f"{path!r}: {part!r} cannot be part of a file's path")
    return path
