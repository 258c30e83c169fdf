"""Checks what a machine needs: device, disk, clock, receiver, token, Scipion. Each finding says what to do."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agents.commands.finding import Finding, Machine
from agents.commands.gpu_checks import examine_gpus, examine_nvcomp
from agents.commands.link_checks import examine_link
from preprocess.backends.compiled.available import compiled_kernels, kernel_trouble
from preprocess.backends.compiled.chosen_kernels import KERNELS_VARIABLE
from preprocess.kept_code import FALLBACK_VARIABLE, WHAT_TO_DO, kept_code
from transfer.disk.files import sync_descriptor
from transfer.machine_limits import AddressSpaceTooSmall, require_address_space
from transfer.platform import usable_cores

LITTLE_SPACE_BYTES = 20 << 30
_SCIPION_DESCRIPTION = "cryoferry-scipion.json"  # written by the plugin's installer


def examine(machine: Machine) -> Iterator[Finding]:
    """Yield the findings, one check after the other."""
    yield from _device(machine.work)
    yield from _disk(machine.work)
    if machine.url is None:
        yield Finding(
            "receiver",
            "warn",
            "not checked: no URL is given",
            "Give --to URL, or write `to` into [watch] of the configuration file.",
        )
    else:
        yield from examine_link(machine, machine.url)
    if machine.scipion is not None:
        yield from _scipion(machine.scipion)


def _device(work: Path) -> Iterator[Finding]:
    yield Finding("cpu", "ok", f"{usable_cores()} cores")
    yield from _addresses()
    yield from _kernels(work)
    yield from examine_gpus(work)
    yield from examine_nvcomp()


def _addresses() -> Iterator[Finding]:
    """Say whether this process may use addresses enough to compute images; nothing where they are not limited."""
    try:
        require_address_space()
    except AddressSpaceTooSmall as error:
        yield Finding("memory", "fail", str(error), error.hint)


def _kernels(work: Path) -> Iterator[Finding]:
    """Say which kernels align movies; those of numba need numba, and a folder for what it compiles."""
    if compiled_kernels() is not None:
        yield Finding("kernels", "ok", "movies are aligned by kernels in C")
        return
    try:
        numba = importlib.import_module("numba").__version__
    except ImportError as error:
        trouble = kernel_trouble()
        text = f"movies are aligned by numba's kernels, and numba cannot be loaded: {error}"
        yield Finding("kernels", "fail", text, trouble.what_to_do if trouble else f"Unset {KERNELS_VARIABLE}.")
        return
    used = f"movies are aligned by kernels of numba {numba}"
    if trouble := kernel_trouble():
        yield Finding("kernels", "warn", f"{used}: {trouble.text}", trouble.what_to_do)
    else:
        text = f"{used}, because {KERNELS_VARIABLE} is numba: those in C are faster"
        yield Finding("kernels", "warn", text, f"Unset {KERNELS_VARIABLE}.")
    yield _compiled_code(work)


def _compiled_code(work: Path) -> Finding:
    kept = kept_code({**os.environ, FALLBACK_VARIABLE: str(work / "compiled")})
    if kept.trouble:
        text = f"compiled code cannot be kept, so each start of the agent takes longer: {kept.trouble}"
        return Finding("compiled", "warn", text, WHAT_TO_DO)
    return Finding("compiled", "ok", f"compiled code is kept in {kept.folder or 'the folders of its source'}")


def _disk(work: Path) -> Iterator[Finding]:
    folder = next(path for path in (work, *work.absolute().parents) if path.is_dir())
    try:
        began = time.monotonic()
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"cryoferry")
            file.flush()
            sync_descriptor(file.fileno())
        fsync_ms = 1e3 * (time.monotonic() - began)
    except OSError as error:
        yield Finding(
            "work folder",
            "fail",
            f"cannot write to {folder}: {error.strerror}",
            "Give another folder with --work, or change its permissions.",
        )
        return
    yield Finding("work folder", "ok", f"{work} can be written ({fsync_ms:.0f} ms to reach the disk)")
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.0f} GB free"
    if free < LITTLE_SPACE_BYTES:
        what = "Free some space: outputs wait here while the receiver cannot be reached (50 to 150 MB for a K3 movie)."
        yield Finding("disk", "warn", text, what)
    else:
        yield Finding("disk", "ok", text)


def _scipion(place: Path) -> Iterator[Finding]:
    install = "Make one with `make scipion`, or install deploy/scipion-plugin into your Scipion."
    python, environment = place, dict[str, str]()
    if place.is_dir():
        try:
            description = json.loads((place / _SCIPION_DESCRIPTION).read_text("utf-8"))
            python, environment = Path(description["python"]), dict(description["environment"])
        except (OSError, ValueError, KeyError) as error:
            yield Finding("scipion", "fail", f"{place} is no complete Scipion environment ({error})", install)
            return
    for module in ("pwem", "cryoferry_scipion"):
        verdict = _run_python(python, environment, f"import {module}; print(getattr({module}, '__version__', ''))")
        if verdict is None:
            yield Finding("scipion", "ok", f"{python} loads {module}")
        else:
            yield Finding("scipion", "fail", f"{python} cannot load {module}: {verdict}", install)
            return


def _run_python(python: Path, environment: dict[str, str], program: str) -> str | None:
    """Return what went wrong, or None."""
    # Variables that are meant for this Python would mislead that of Scipion.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    variables = inherited | environment
    try:
        done = subprocess.run(
            [str(python), "-c", program], capture_output=True, text=True, env=variables, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it failed"])[-1]
