"""What goes over ssh: scp, and rsync. Where no ssh lies between the ends, an sshd of our own is started."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.transfer.paths.contract import Call, Job, PathSetup

_CIPHER = "aes128-gcm@openssh.com"  # the fastest where the processor has AES


@dataclass(frozen=True, slots=True)
class OverSsh:
    """A copying program over ssh; `program` is `scp` or `rsync`."""

    program: str
    verifies: str = ""
    needs_open_server: bool = False

    @property
    def name(self) -> str:
        """As the tables show it."""
        return "scp" if self.program == "scp" else "rsync over ssh"

    @property
    def near_programs(self) -> tuple[str, ...]:
        """What must be installed here."""
        return ("ssh", "ssh-keygen", self.program)

    @property
    def far_programs(self) -> tuple[str, ...]:
        """What must be installed there."""
        return ("sshd", self.program)

    @property
    def how_to_get(self) -> str:
        """For people who lack them."""
        return f"Debian and Ubuntu: apt-get install openssh-server {'rsync' if self.program == 'rsync' else ''}".strip()

    def prepare(self, setup: PathSetup) -> Call | None:
        """Start an sshd with keys of its own, unless the far end is reached by ssh anyway."""
        if setup.far.is_remote:
            return None
        far, folder = setup.far, setup.far_folder
        far.run("mkdir", "-p", folder)
        for key in ("host_key", "user_key"):
            far.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}.{key}")
        lines = [f"ListenAddress {far.address}:{setup.port}", f"HostKey {folder}.host_key", "PidFile none"]
        lines += [f"AuthorizedKeysFile {folder}.user_key.pub", "StrictModes no", "UsePAM no", "PermitRootLogin yes"]
        lines += ["PasswordAuthentication no", "Subsystem sftp internal-sftp"]
        far.write(f"{folder}.sshd", "\n".join(lines) + "\n")
        if setup.far_user == "root":
            far.run("mkdir", "-p", "/run/sshd")
        return Call([far.find("sshd") or "sshd", "-D", "-e", "-f", f"{folder}.sshd"])

    def send(self, setup: PathSetup, job: Job) -> Call:
        """Copy the folder."""
        setup.far.run("mkdir", "-p", self.arrived_at(setup, job))
        options = ["-o", f"Ciphers={_CIPHER}", "-o", "Compression=no"]
        if setup.far.is_remote:
            target, port = setup.far.prefix[-1], []
        else:
            target, port = f"{setup.far_user}@{setup.far.address}", [f"{setup.port}"]
            options += ["-i", f"{setup.far_folder}.user_key", "-o", "StrictHostKeyChecking=no"]
            options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        into = f"{target}:{self.arrived_at(setup, job)}/"
        if self.program == "scp":
            return Call(["scp", "-q", *options, *(["-P", *port] if port else []), *job.sources, into])
        shell = " ".join(["ssh", *options, *(["-p", *port] if port else [])])
        return Call(["rsync", "-rW", "-e", shell, f"{job.folder}/", into])

    def arrived_at(self, setup: PathSetup, job: Job) -> str:
        """Return the folder that it writes into."""
        return f"{setup.far_folder}/{job.into}"
