"""Which TCP congestion control both ends use by default, and how to change that for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.errors import NothingToMeasure, ProgramFailed
from benchmarks.transfer.paths.ends import End

_DEFAULT = "net.ipv4.tcp_congestion_control"
_ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")


def default_of(end: End) -> str | None:
    """Return the congestion control that an end's new connections get; None if unknown."""
    try:
        return end.run("sh", "-c", "cat /proc/sys/net/ipv4/tcp_congestion_control").strip() or None
    except ProgramFailed:
        return None


@contextmanager
def allowed_in_namespaces(names: Sequence[str]) -> Iterator[None]:
    """Let namespaces have a congestion control as their default, which Linux grants only if the host allows it to all.

    The host's own list is put back at the end; its default is not touched.
    """
    before = _ALLOWED.read_text("ascii").split()
    missing = [name for name in names if name not in before]
    try:
        if missing:
            _ALLOWED.write_text(" ".join([*before, *missing]), "ascii")
        yield
    except OSError as error:
        raise NothingToMeasure(f"{', '.join(missing)} cannot be allowed: {error}", hint="modprobe tcp_bbr") from error
    finally:
        if missing:
            _ALLOWED.write_text(" ".join(before), "ascii")


def use(name: str, ends: Sequence[End]) -> None:
    """Make it the default of the ends' new connections, and read back that it is.

    Raises
    ------
    NothingToMeasure
        The kernel does not have it or does not grant it.
    """
    for end in ends:
        end.run("sh", "-c", f"echo {name} > /proc/sys/{_DEFAULT.replace('.', '/')} || true")
        if default_of(end) != name:
            raise NothingToMeasure(f"the kernel does not grant {name} to a namespace", hint=f"modprobe tcp_{name}")
