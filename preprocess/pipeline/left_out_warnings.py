"""Says which frames are left out of a movie, why, and what that means."""

from __future__ import annotations

from collections.abc import Sequence

from preprocess.alignment.frame_judgement import (
    BRIGHT,
    EMPTY,
    FOREIGN,
    NOISY,
    PARTLY_LIT,
    SATURATED,
    LeftOutFrame,
    unexposed,
)
from preprocess.movie_warning import MovieWarning

CODE = "frames-without-signal"
REASONS = {
    EMPTY: "{} no counts, or hardly any",
    SATURATED: "{} the same value everywhere: saturated, or not recorded",
    BRIGHT: "{} more than four times the counts of the others",
    NOISY: "{} noise of another kind than the others",
    PARTLY_LIT: "{} lit otherwise in a part of the field",
    FOREIGN: "{} match the others: another field, or a jump out of reach",
}
VERBS = {PARTLY_LIT: ("is", "are"), FOREIGN: ("does not", "do not")}


def left_out_warnings(left_out: Sequence[LeftOutFrame], used: range, used_count: int) -> list[MovieWarning]:
    """Return a warning for each reason, with the numbers of the frames, from 1 in the whole movie."""
    dark = set(unexposed(left_out, used_count))
    warnings = []
    for reason, words in REASONS.items():
        places = [frame.place for frame in left_out if frame.reason == reason]
        if not places:
            continue
        numbers = [used[place] + 1 for place in places]
        one = len(numbers) == 1
        said = words.format(VERBS.get(reason, ("has", "have"))[not one])
        text = (
            f"{'frame' if one else 'frames'} {listed(numbers)} {said}. {'It is' if one else 'They are'} left out of the"
            f" sums and of the estimate of motion, and {'has its' if one else 'have their'} neighbours' motion"
        )
        if dark.issuperset(places):
            text += "; no dose is counted for " + ("it" if one else "them")
        elif dark.intersection(places):
            text += "; no dose is counted for those at the start and at the end"
        warnings.append(MovieWarning(CODE, text, numbers[0] if one else None))
    return warnings


def listed(numbers: Sequence[int]) -> str:
    """Return ascending numbers as people write them: `3`, `1 and 2`, `1 to 20, 31 and 40`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts: list[str] = []
    for run in runs:
        parts += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else [str(number) for number in run]
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
