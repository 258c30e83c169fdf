"""Every command in README and docs is run, against a real receiver, with the names that the text uses made real."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import trustme

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
STOP_SECONDS = 60


def commands(document: Path) -> list[str]:
    """The command lines of a document, continuation lines joined."""
    blocks = CONSOLE.findall(document.read_text("utf-8"))
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


class Place:
    """A microscope, a VM and a folder of one's own, under the names that the documents use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = self._free_port()
        self.running: list[subprocess.Popen[bytes]] = []
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
            "cryoferry token create --data /data/cryoferry --scope agent --session mysession > mysession.token",
            "cryoferry serve --data /data/cryoferry --tls-cert cert.pem --tls-key key.pem",
            "cryoferry session start mysession --to https://vm.example.org:8642 --token-file mysession.token",
        ):
            self.run(command)

    @staticmethod
    def _free_port() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def _make_movies(self) -> None:
        from preprocess.simulation import SimulationSettings, simulate_movie

        movie = simulate_movie(SimulationSettings(height=256, width=256, frame_count=6, seed=3))
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

    def made_real(self, command: str) -> str:
        """The command with the document's places replaced by this machine's."""
        for written, real in {
            "https://vm.example.org:8642": f"https://localhost:{self.port}",
            "--host 0.0.0.0 --port 8642": f"--host 0.0.0.0 --port {self.port}",
            "--port 8642": f"--port {self.port}",
            "http://127.0.0.1:8642": f"http://127.0.0.1:{self.port}",
            "/data/cryoferry": str(self.folder / "data"),
            "/mnt/microscope": str(self.folder / "microscope"),
            "--scipion .scipion": "",
        }.items():
            command = command.replace(written, real)
        return command

    def run(self, command: str) -> None:
        real = self.made_real(command)
        if re.search(r"\bserve\b", real):
            self._start(real)
        elif re.search(r"cryoferry watch\b(?!.*--dry-run)", real):
            self._finish(real + " --exit-when-idle 2 --settle-seconds 1 --scan-seconds 0.5")
        else:
            self._finish(real)

    def _finish(self, command: str) -> None:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        # `doctor` may warn of what this machine lacks; every other command has to succeed.
        allowed = {0, 1} if "cryoferry doctor" in command else {0}
        assert done.returncode in allowed, f"{command}\n{done.stdout}\n{done.stderr}"

    def _start(self, command: str) -> None:
        self.stop()
        self.running.append(
            subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.environment, stderr=subprocess.DEVNULL
            )
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.running[0].poll() is None, f"ended at once: {command}"
            time.sleep(0.1)
        raise AssertionError(f"never listened: {command}")

    def stop(self) -> None:
        for process in self.running:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)
        self.running.clear()


@pytest.fixture
def place(tmp_path: Path):
    made = Place(tmp_path)
    yield made
    made.stop()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_works(document: Path, place: Place) -> None:
    written = commands(document)
    if any("vm.example.org" in command for command in written):
        place.prepare()
    for command in written:
        if command.startswith("make "):
            (target,) = shlex.split(command.split("#")[0])[1:2]
            subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
        else:
            place.run(command)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    missing = [link for link in LINK.findall(document.read_text("utf-8")) if not (document.parent / link).exists()]
    assert not missing


def test_the_example_configuration_is_accepted(tmp_path: Path) -> None:
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert tomllib.loads(example)
    (tmp_path / "cryoferry.toml").write_text(example, "utf-8")
    shown = subprocess.run(
        [sys.executable, "-m", "cryoferry", "config", "show"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
