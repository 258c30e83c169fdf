"""What a user chose for a movie's alignment, whichever command line or file it came from."""

from __future__ import annotations

from dataclasses import dataclass

from preprocess.exposure.acquisition import Acquisition
from preprocess.settings import AlignmentSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenAlignment:
    """How to align, and what the user says about the acquisition.

    Attributes
    ----------
    settings : AlignmentSettings
        How to align.
    flags : Acquisition
        What the command line says about the acquisition; it comes before the configuration.
    configured : Acquisition
        What the configuration (file or environment) says about the acquisition.
    """

    settings: AlignmentSettings
    flags: Acquisition
    configured: Acquisition
