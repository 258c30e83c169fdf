"""The errors of `cryoferry demo`."""

from __future__ import annotations

from typing import ClassVar


class DemoFailed(Exception):
    """The demo could not finish."""

    exit_code: ClassVar[int] = 1
    hint = "The logs in the demo's folder say why. `cryoferry doctor` checks this machine."


class DemoFolderTaken(DemoFailed):
    """The demo's folder contains something else."""

    exit_code = 2
    hint = "Give another folder with --out."
