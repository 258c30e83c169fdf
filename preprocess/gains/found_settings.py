"""Puts the gain reference and the defects that were found for a movie into its settings, where the user named none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from preprocess.errors import UnreadableMovie
from preprocess.gains.finding import FoundReferences, ReferenceFinder
from preprocess.settings import AlignmentSettings, GainSettings


def settings_of_movie(settings: AlignmentSettings, movie: Path, finder: ReferenceFinder) -> AlignmentSettings:
    """Return the settings for one movie, with what is found for it.

    Raises
    ------
    UnreadableMovie
        That cannot be found out now.
    """
    looks_for_gain = settings.gain.path is None and not settings.gain.absent
    if not looks_for_gain and settings.defects.path is not None:
        return settings
    try:
        found = finder.find(movie.absolute())
    except OSError as error:
        raise UnreadableMovie(f"{error.filename or movie}: {error.strerror or error}") from error
    if looks_for_gain:
        settings = replace(settings, gain=_with_found(settings.gain, found))
    if settings.defects.path is None:
        settings = replace(settings, defects=replace(settings.defects, path=found.defects))
    return settings


def _with_found(gain: GainSettings, found: FoundReferences) -> GainSettings:
    return replace(gain, not_found=found.doubt) if found.gain is None else found.gain.as_chosen(gain)
