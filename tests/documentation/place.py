"""A machine as the documents describe it: a microscope's folder, a VM, files of one's own, under their names there."""

from __future__ import annotations

import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import trustme

from tests.command_process import run_command
from tests.running import free_port, is_listening
from tests.waiting import wait_until

STOP_SECONDS, TIMEOUT_S = 60, 250
_MEASURED_ELSEWHERE = re.compile(r"bench (flow|transfer|faults|align .*--sustained)")
"""Benchmarks that tests/benchmarks runs whole; here it is shown that the options in the documents are accepted."""


class Place:
    """A microscope, a VM and a folder of one's own, under the names that the documents use.

    Parameters
    ----------
    folder
        Where all that is.
    is_by_shell
        Whether a shell finds and runs each command, as a reader's does; otherwise `tests.command_process` does.
    """

    def __init__(self, folder: Path, *, is_by_shell: bool) -> None:
        self.is_by_shell = is_by_shell
        self.folder = folder
        self.port = free_port()
        self.running: list[subprocess.Popen[bytes]] = []
        self.started = ""
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CRYOFERRY_")},
            "HOME": str(folder),
            "SSL_CERT_FILE": str(folder / "ca.pem"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CRYOFERRY_SERVE__PORT": str(self.port),
        }
        self._make_movies()

    def prepare(self) -> None:
        """Start what an earlier page of the documents started: the receiver, with a session and its token."""
        for command in (
            "cryoferry token create --data /data/cryoferry --scope agent --session mysession --out mysession.token",
            "cryoferry serve --data /data/cryoferry --tls-cert cert.pem --tls-key key.pem",
            "cryoferry session start mysession --to https://vm.example.org:8642 --token-file mysession.token",
        ):
            self.run(command)

    def _make_movies(self) -> None:
        from preprocess.simulation import SimulationSettings, simulate_movie, write_mrc

        movie = simulate_movie(SimulationSettings(height=256, width=256, frame_count=6, seed=3))
        (self.folder / "images").mkdir()
        for name in ("micrograph.mrc", "images/one.mrc"):
            noise = np.random.default_rng(5).normal(100, 10, (512, 512)).astype(np.float32)
            write_mrc(self.folder / name, [noise], frame_count=1, mode=2, pixel_size_angstrom=1.06)
        session = self.folder / "microscope" / "mysession"
        session.mkdir(parents=True)
        for name in ("movie.tiff", "second.mrc", "third.eer"):
            movie.write(self.folder / name)
        movie.write_gain(self.folder / "gain.mrc", movie_format="tiff")
        (self.folder / "defects.txt").write_text("10 20 4 2\n")
        stem = "FoilHole_25598436_Data_25597084_1_20260101_101010"
        movie.write(session / f"{stem}_fractions.tiff")
        movie.write_gain(session / f"{stem}_gain.tiff", movie_format="tiff")
        movie.write_epu_xml(session / f"{stem}.xml")
        raw = session.parent / "raw-session"
        raw.mkdir()
        for seed in range(6):
            other = SimulationSettings(height=256, width=256, frame_count=2, seed=seed, dose_per_frame_e_per_a2=9)
            simulate_movie(other).write(raw / f"movie_{seed}.tiff")
        self.recorded = {path.name for path in session.iterdir()}

    def made_real(self, command: str) -> str:
        """The command with the document's places replaced by this machine's."""
        for written, real in {
            "https://vm.example.org:8642": f"https://localhost:{self.port}",
            "--host 0.0.0.0 --port 8642": f"--host 0.0.0.0 --port {self.port}",
            "--port 8642": f"--port {self.port}",
            "http://127.0.0.1:8642": f"http://127.0.0.1:{self.port}",
            "/data/cryoferry": str(self.folder / "data"),
            "/mnt/microscope": str(self.folder / "microscope"),
            "--scipion .scipion --scipion-workflow picking.json": "",
            "--scipion .scipion": "",
            # a first movie is measured by the tests of `bench align`
            "bench align small@256x256x6 --programs": "bench align small@256x256x6 --no-first-movie --programs",
        }.items():
            command = command.replace(written, real)
        is_measured_elsewhere = _MEASURED_ELSEWHERE.search(command) and "--dry-run" not in command
        return f"{command} --dry-run" if is_measured_elsewhere else command

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; `serve` is left running, and its answer here is empty."""
        real = self.made_real(command)
        if "--out mysession.token" in real:  # `prepare` has made it: each page begins as if it were the first
            (self.folder / "mysession.token").unlink(missing_ok=True)
        if re.search(r"\bserve\b", real):
            self._start(real)
            return subprocess.CompletedProcess(real, 0, "", "")
        if re.search(r"cryoferry watch\b(?!.*--dry-run)", real):
            return self._finish(real + " --exit-when-idle 0.5 --settle-seconds 0.5 --scan-seconds 0.3")
        return self._finish(real)

    def ask(self, route: str, scheme: str = "https") -> httpx.Response:
        """GET a route of the receiver that runs."""
        token = self.folder / "mysession.token"
        headers = {"Authorization": f"Bearer {token.read_text().strip()}"} if token.exists() else {}
        authority = ssl.create_default_context(cafile=self.folder / "ca.pem")
        return httpx.get(f"{scheme}://localhost:{self.port}{route}", verify=authority, headers=headers)

    def _finish(self, command: str) -> subprocess.CompletedProcess[str]:
        done = self._in_a_shell(command) if self.is_by_shell else self._as_a_copy(command)
        # `doctor` may warn of what this machine lacks; every other command has to succeed.
        allowed = {0, 1} if "cryoferry doctor" in command else {0}
        assert done.returncode in allowed, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def _in_a_shell(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def _as_a_copy(self, command: str) -> subprocess.CompletedProcess[str]:
        program, *words = shlex.split(command)
        assert program == "cryoferry", command
        done = run_command(*words, cwd=self.folder, environment=self.environment, timeout_s=TIMEOUT_S)
        return subprocess.CompletedProcess([command], done.returncode, done.stdout, done.stderr)

    def _start(self, command: str) -> None:
        self.stop()
        self.started = command
        self.running.append(
            subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.environment, stderr=subprocess.DEVNULL
            )
        )
        wait_until(
            lambda: is_listening(self.port),
            f"a listener on port {self.port}: {command}",
            alive=lambda: self.running[0].poll() is None,
        )

    def stop(self) -> None:
        for process in self.running:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)
        self.running.clear()
