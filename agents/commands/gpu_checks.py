"""Checks the GPUs: what the driver lists, whether each computes what it should, and which extra fits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.commands.finding import Finding
from preprocess.backends.compiled.chosen_kernels import NVCOMP_VARIABLE, nvcomp_is_wanted
from preprocess.backends.cuda.nvcomp import load_nvcomp
from preprocess.kept_code import FALLBACK_VARIABLE

CHECK = "gpu"
TRIAL = "preprocess.backends.cuda.trial"
TRIAL_TIMEOUT_S = 300.0
"""Kernels are compiled the first time; a driver that answers after this never will."""
LISTING_TIMEOUT_S = 60.0
_LISTING = ("nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader")

CUDA_13_DRIVER, CUDA_12_DRIVER = 580, 525
"""The first drivers for CUDA 13 and 12 (NVIDIA, CUDA Toolkit release notes, table of minimum drivers)."""
CUDA_13_OLDEST, OLDEST = (7, 5), (7, 0)
"""The oldest compute capability that CUDA 13's compiler knows, and the oldest that our kernels are compiled for."""


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU as the driver lists it, whether or not CuPy is installed."""

    name: str
    driver: str
    compute_capability: tuple[int, int]

    @property
    def extra(self) -> str | None:
        """Return the extra that fits driver and GPU; None: the driver is too old for either, or the GPU is."""
        release = int(self.driver.split(".")[0])
        if self.compute_capability < OLDEST or release < CUDA_12_DRIVER:
            return None
        newer = release >= CUDA_13_DRIVER and self.compute_capability >= CUDA_13_OLDEST
        return "cuda13" if newer else "cuda12"


def examine_gpus(work: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Yield a finding for each GPU, or one that says why none is used.

    Parameters
    ----------
    work
        The agent's work folder, where compiled kernels can be kept if nowhere else.
    """
    environment = {**environment, FALLBACK_VARIABLE: str(work / "compiled")}
    cards = listed_cards(environment)
    for trial in _trials(environment):
        yield _finding(trial, cards)


def examine_nvcomp(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Yield whether nvCOMP decompresses deflate, if it is wanted."""
    if not nvcomp_is_wanted(environment):
        return
    found = load_nvcomp()
    if isinstance(found, str):
        text = f"{NVCOMP_VARIABLE} is on, and deflate is decompressed without it: {found}"
        yield Finding("nvcomp", "warn", text, f"Install it, or unset {NVCOMP_VARIABLE}.")
    else:
        version = f"{found.version // 1000}.{found.version % 1000 // 100}"
        yield Finding("nvcomp", "ok", f"nvCOMP {version} decompresses deflate on a GPU")


def listed_cards(environment: Mapping[str, str]) -> list[Card]:
    """Return the GPUs that nvidia-smi lists; none where there is no driver."""
    try:
        done = subprocess.run(
            _LISTING, capture_output=True, text=True, check=False, timeout=LISTING_TIMEOUT_S, env=dict(environment)
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    fields = [[field.strip() for field in line.split(",")] for line in done.stdout.splitlines()]
    return [_card(*three) for three in fields if len(three) == 3 and three[1][:1].isdigit() and "." in three[2]]


def _card(name: str, driver: str, capability: str) -> Card:
    major, minor = capability.split(".")
    return Card(name, driver, (int(major), int(minor)))


def _trials(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", TRIAL],
            capture_output=True,
            text=True,
            check=False,
            timeout=TRIAL_TIMEOUT_S,
            env=dict(environment),
        )
    except subprocess.TimeoutExpired:
        return [{"failure": f"it gives no answer within {TRIAL_TIMEOUT_S:.0f} s", "error": "DeviceLost"}]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode == 0 and found:
        return found
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return [*found, {"failure": last, "error": ""}]


def _finding(trial: Mapping[str, Any], cards: list[Card]) -> Finding:
    driver = f"; driver {cards[0].driver}" if cards else ""
    if trial["error"] == "CupyMissing":
        return Finding(CHECK, "warn", f"CuPy is not installed; movies are aligned on the CPU{driver}", _install(cards))
    if not trial.get("device"):
        what = f"Run nvidia-smi to check the driver. {_install(cards)}"
        return Finding(CHECK, "warn", f"no GPU can be used: {trial['failure']}{driver}", what)
    versions = f"compute capability {trial['compute_capability']}{driver} (CUDA {trial['driver']}), CuPy's CUDA"
    about = f"{trial['device']}: {trial['name']}, {trial['memory_bytes'] / 1e9:.0f} GB, {versions} {trial['runtime']}"
    if trial["failure"]:
        return Finding(CHECK, "fail", f"{about}; it cannot be used: {trial['failure']}", _install(cards))
    return Finding(CHECK, "ok", f"{about}; a kernel and a Fourier transform give what they should")


def _install(cards: list[Card]) -> str:
    """Return what a person can install so that these GPUs are used."""
    if not cards:
        return "To use an NVIDIA GPU, install its driver; then `cryoferry doctor` names the extra that fits."
    extras = {card.extra for card in cards}
    if None in extras:
        return (
            f"A GPU needs a driver {CUDA_12_DRIVER} or newer and compute capability {OLDEST[0]}.{OLDEST[1]} or higher;"
            f" here: {', '.join(f'{card.name}, driver {card.driver}' for card in cards)}."
        )
    extra = "cuda12" if "cuda12" in extras else "cuda13"
    return f"Driver and GPU fit cryoferry[{extra}]: install this extra, and remove another CuPy that is installed."
