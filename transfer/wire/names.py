"""Checks the names of sessions and files against a strict list of allowed characters, on both machines."""

from __future__ import annotations

import re
import unicodedata

from transfer.wire.errors import BadName

_SEGMENT = re.compile(r"[\w .+=@#(),-]+")  # \w: letters and digits of every script
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"}
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def folded(name: str) -> str:
    """Return what all names have in common that differ only in upper and lower case, or in Unicode's form.

    That is Unicode's canonical caseless matching (section 3.13), as file systems that ignore case compare names.
    """
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def check_session_name(name: str) -> str:
    """Return the name if it is allowed for a session.

    It has 1 to 100 characters of `A-Z a-z 0-9 _ . -`, and begins with a letter or a digit.

    Raises
    ------
    BadName
    """
    if not _SESSION.fullmatch(name) or name.endswith(".") or name.split(".", maxsplit=1)[0].lower() in _DEVICES:
        raise BadName(
            f"{name!r} is not allowed as the name of a session",
            hint="Use 1 to 100 letters, digits, _ . or -. Begin with a letter or a digit.",
        )
    return name


def check_path(path: str) -> str:
    """Return the relative path of a new file (`/` between folders) if every part of it is safe on every system.

    Raises
    ------
    BadName
        It is no path that `check_committed_path` accepts, or a part of it begins with `-`.
    """
    for part in check_committed_path(path).split("/"):
        if part.startswith("-"):
            raise BadName(
                f"{path!r}: {part!r} begins with -, and programs would take it for an option",
                hint="Rename the file or folder, and send it again.",
            )
    return path


def check_committed_path(path: str) -> str:
    """Return the relative path of a file that a receiver of any version may have accepted; it leads out of no folder.

    Older receivers accepted names that begin with `-`.

    Raises
    ------
    BadName
        The path is empty, absolute, not NFC, or longer than 1024 bytes; or a part of it is `..`, is hidden (begins with
        a dot), begins or ends with a space, ends with a dot, is the name of a Windows device, is longer than 255 bytes,
        or has a character that is not allowed.
    """
    if not path or len(path.encode(errors="surrogatepass")) > 1024:
        raise BadName(f"a path must have 1 to 1024 bytes, this one has {len(path.encode(errors='surrogatepass'))}")
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
            raise BadName(f"{path!r}: {part!r} is not allowed in the path of a file")
    return path
