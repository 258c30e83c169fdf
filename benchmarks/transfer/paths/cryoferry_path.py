"""cryoferry itself: `cryoferry serve` at the far end, `cryoferry send` at the near end."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.transfer.paths.contract import Call, Job, PathSetup
from benchmarks.transfer.paths.ends import End

SESSION = "bench-transfer"
TOKEN_VARIABLE = "CRYOFERRY_TOKEN"  # noqa: S105 - its name
_CERTIFICATE_DAYS = "2"


@dataclass(frozen=True, slots=True)
class Cryoferry:
    """cryoferry's chunked HTTP; every chunk and file is checked by its BLAKE3 digest, and synced to disk.

    Parameters
    ----------
    over_tls
        With TLS 1.3, by a certificate of its own; otherwise in clear text.
    system_congestion_control
        Never request BBR; use the hosts' default.
    workers
        Processes that receive.
    """

    name: str = "cryoferry"
    over_tls: bool = False
    system_congestion_control: bool = False
    workers: int = 1
    near_programs: tuple[str, ...] = ()
    far_programs: tuple[str, ...] = ()
    how_to_get: str = ""
    verifies: str = "BLAKE3"
    needs_open_server: bool = False

    def prepare(self, setup: PathSetup) -> Call:
        """Make a token, and a certificate if one is needed; the server listens at the far end's address."""
        data = setup.far_folder
        setup.far.run("mkdir", "-p", data)
        words = [*_program(setup.far), "serve", "--data", data, "--host", setup.far.address]
        words += ["--port", f"{setup.port}", "--workers", f"{self.workers}"]
        if self.over_tls:
            make_certificate(setup)
            words += ["--tls-cert", f"{data}/certificate.pem", "--tls-key", f"{data}/key.pem"]
        elif setup.far.prefix:
            words += ["--behind-proxy"]  # the emulated link leaves this machine as little as loopback does
        return Call(words)

    def send(self, setup: PathSetup, job: Job) -> Call:
        """Send the folder; the environment holds the token."""
        token = setup.far.run(
            *_program(setup.far), "token", "create", "--data", setup.far_folder, "--session", SESSION
        ).strip()
        url = f"{'https' if self.over_tls else 'http'}://{setup.far.address}:{setup.port}"
        words = [*_program(setup.near), "send", str(job.folder), "--to", url, "--session", SESSION]
        words += ["--path-prefix", job.into, "--json"]
        if self.system_congestion_control:
            words += ["--congestion-control", "system"]
        if self.over_tls:
            words += ["--ca", f"{setup.far_folder}/certificate.pem"]
        elif setup.near.prefix:
            words += ["--clear-text"]
        return Call(words, {TOKEN_VARIABLE: token}, leaves=f"{setup.far_folder}/incoming")

    def arrived_at(self, setup: PathSetup, job: Job) -> str:
        """Return where the receiver publishes a session's files."""
        return f"{setup.far_folder}/sessions/{SESSION}/files/{job.into}/{job.folder.name}"


def _program(end: End) -> list[str]:
    return ["cryoferry"] if end.is_remote else [sys.executable, "-m", "cryoferry"]


def make_certificate(setup: PathSetup) -> None:
    """Make `certificate.pem` and `key.pem`, for the far end's address, in the path's folder there."""
    folder = setup.far_folder
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    words += ["-days", _CERTIFICATE_DAYS, "-subj", "/CN=cryoferry bench", "-addext"]
    words += [f"subjectAltName=IP:{setup.far.address}", "-keyout", f"{folder}/key.pem"]
    setup.far.run(*words, "-out", f"{folder}/certificate.pem")


@dataclass(frozen=True, slots=True)
class CryoferryReceiver:
    """cryoferry to a receiver that runs already.

    `cryoferry send` ends well only if every receipt names the digest that it computed while reading.
    """

    url: str
    session: str
    options: tuple[str, ...] = ()
    name: str = "cryoferry"
    near_programs: tuple[str, ...] = ()
    far_programs: tuple[str, ...] = ()
    how_to_get: str = ""
    verifies: str = "BLAKE3"
    needs_open_server: bool = False

    def prepare(self, _setting: PathSetup) -> None:
        """Need nothing: the receiver runs already."""

    def send(self, setup: PathSetup, job: Job) -> Call:
        """Send the folder."""
        words = [*_program(setup.near), "send", str(job.folder), "--to", self.url, "--session", self.session]
        return Call([*words, "--path-prefix", job.into, "--json", *self.options])

    def arrived_at(self, _setting: PathSetup, _errand: Job) -> None:
        """Return None: the receiver's disk is its own."""
