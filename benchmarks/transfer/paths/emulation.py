"""Two hosts on this machine with a link of any length between them: network namespaces and `link_emulator.c`."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.errors import NothingToMeasure, ProgramFailed
from benchmarks.transfer.paths.ends import End
from benchmarks.transfer.paths.link import MTU_BYTES, Link

SOURCE = Path(__file__).with_name("link_emulator.c")
NEAR_ADDRESS, FAR_ADDRESS = "10.77.0.1", "10.77.0.2"
_NAMES = re.compile(r"cryoferry-(?:near|far)-(\d+)")
_QUEUE_PACKETS = 20_000  # the kernel's own queue before the device must never be what drops


def build_emulator(cache: Path) -> Path:
    """Return the emulator, compiled if this source never was.

    Raises
    ------
    NothingToMeasure
        There is no C compiler.
    ProgramFailed
        It did not compile.
    """
    program = cache / f"link_emulator-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    if program.exists():
        return program
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise NothingToMeasure("there is no C compiler", hint="Install one (Debian: gcc and libc6-dev).")
    cache.mkdir(parents=True, exist_ok=True)
    fresh = program.with_suffix(f".{os.getpid()}")
    command = [compiler, "-O2", "-o", str(fresh), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProgramFailed(f"{SOURCE.name} did not compile: {done.stderr.strip()[-600:]}")
    fresh.replace(program)
    return program


@contextmanager
def emulated(link: Link, work: Path, *, seed: int = 1) -> Iterator[tuple[End, End]]:
    """Make two hosts with a link between them; yield the near and the far end, both with `work` as their folder.

    Raises
    ------
    NothingToMeasure
        This machine or this user cannot: no Linux, not root, no TUN device, no `ip`, no C compiler.
    """
    _check_machine()
    _remove_what_the_dead_left()
    program = build_emulator(_cache())
    near, far = (f"cryoferry-{end}-{os.getpid()}" for end in ("near", "far"))
    with ExitStack() as cleanup:
        for name in (near, far):
            _ip("netns", "add", name)
            cleanup.callback(_remove_namespace, name)
            _name_hosts(name)
        parameters = (link.rate_bit_per_s, link.round_trip_s, link.loss, link.queue_bytes, seed)
        words = [str(program), near, far, *map(str, parameters)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        cleanup.callback(_stop, process)
        assert process.stdout is not None
        if not process.stdout.readline():
            raise ProgramFailed("the link emulator did not start; the lines above say why")
        for name, own, other in ((near, NEAR_ADDRESS, FAR_ADDRESS), (far, FAR_ADDRESS, NEAR_ADDRESS)):
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "link0", "mtu", f"{MTU_BYTES}", "txqueuelen", f"{_QUEUE_PACKETS}", "up")
            _ip("-n", name, "addr", "add", own, "peer", other, "dev", "link0")
        yield (
            End(NEAR_ADDRESS, str(work), ("ip", "netns", "exec", near)),
            End(FAR_ADDRESS, str(work), ("ip", "netns", "exec", far)),
        )


def _check_machine() -> None:
    if not Path("/dev/net/tun").exists():
        raise NothingToMeasure("there is no /dev/net/tun here", hint="Emulation needs Linux with TUN (modprobe tun).")
    if os.geteuid() != 0:
        raise NothingToMeasure(
            "only root may create network namespaces", hint="Run it with sudo, or without --emulate."
        )
    if shutil.which("ip") is None:
        raise NothingToMeasure("there is no `ip` here", hint="Debian and Ubuntu: apt-get install iproute2.")


def _remove_what_the_dead_left() -> None:
    """Remove the namespaces of benchmarks that were killed: each is named for its process."""
    for entry in Path("/var/run/netns").glob("cryoferry-*"):
        match = _NAMES.fullmatch(entry.name)
        if match and not Path("/proc", match[1]).exists():
            _remove_namespace(entry.name)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cryoferry"


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProgramFailed(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _name_hosts(name: str) -> None:
    """Give addresses names inside the namespace (GridFTP insists): `ip netns exec` puts this file over /etc/hosts."""
    folder = Path("/etc/netns", name)
    folder.mkdir(parents=True, exist_ok=True)
    names = f"{Path('/etc/hosts').read_text('utf-8')}\n{NEAR_ADDRESS} near\n{FAR_ADDRESS} far\n"
    (folder / "hosts").write_text(names, "utf-8")


def _remove_namespace(name: str) -> None:
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    shutil.rmtree(Path("/etc/netns", name), ignore_errors=True)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate(timeout=10)
