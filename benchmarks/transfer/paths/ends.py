"""The two ends of a link, and how a command gets to each: as it is, into a network namespace, or over ssh."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.errors import ProgramFailed

_COMMAND_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class End:
    """One end.

    Attributes
    ----------
    address
        Where the other end reaches it.
    work
        A folder there, for everything that is written.
    prefix
        The words in front of a command that runs there.
    is_remote
        Whether that is another machine, with files and processes of its own.
    """

    address: str
    work: str
    prefix: tuple[str, ...] = ()
    is_remote: bool = False

    @property
    def listens_at(self) -> str:
        """The address that a server here listens at: a cloud machine does not know the one that it is reached by."""
        return "0.0.0.0" if self.is_remote else self.address  # noqa: S104 - asked for by --open-servers alone

    def command(self, *words: str) -> list[str]:
        """Return the command that runs `words` at this end."""
        if self.is_remote:  # ssh hands one line to a shell
            return [*self.prefix, shlex.join(words)]
        return [*self.prefix, *words]

    def run(self, *words: str, given: str | None = None) -> str:
        """Run a command here to its end and return its stdout.

        Raises
        ------
        ProgramFailed
        """
        command = self.command(*words)
        try:
            done = subprocess.run(
                command, input=given, capture_output=True, text=True, check=False, timeout=_COMMAND_TIMEOUT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProgramFailed(f"{shlex.join(command)}: {error}") from error
        if done.returncode:
            raise ProgramFailed(f"{shlex.join(command)} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def find(self, program: str) -> str | None:
        """Return a program's full path here, or None; what is for administrators is looked for as well."""
        look = f"PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v {shlex.quote(program)}"
        try:
            return self.run("sh", "-c", look).strip()
        except ProgramFailed:
            return None

    def write(self, path: str, text: str, *, mode: str = "600") -> None:
        """Write a text file here."""
        quoted = shlex.quote(path)
        self.run("sh", "-c", f"umask 077; cat > {quoted} && chmod {mode} {quoted}", given=text)

    def arrived_bytes(self, folder: str) -> int:
        """Return how many bytes of files lie below a folder."""
        return int(self.run("sh", "-c", f"du -sb --apparent-size {shlex.quote(folder)} | cut -f1"))

    def warm_memory(self, size_bytes: int) -> None:
        """Write so much into the work folder, and remove it, if that folder lies in memory.

        A virtual machine gives memory that is free for seconds back to its host, and the next program that needs it
        waits. That can be half of a short run, and it would hit the programs that start slowly.

        Raises
        ------
        ProgramFailed
        """
        script = (
            'test "$(stat -f -c %T "$1" 2>/dev/null)" = tmpfs || exit 0; '
            'head -c "$2" /dev/zero >"$1/warming"; ended=$?; rm -f "$1/warming"; exit $ended'
        )
        self.run("sh", "-c", script, "sh", self.work, str(size_bytes))

    def sha256_of(self, folder: str, names: Sequence[str]) -> dict[str, str]:
        """Return the SHA-256 of files below a folder, by name; what is not there is left out."""
        script = f"cd {shlex.quote(folder)} 2>/dev/null || exit 0; xargs -0 sha256sum -- 2>/dev/null || true"
        lines = self.run("sh", "-c", script, given="\0".join(names)).splitlines()
        return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
