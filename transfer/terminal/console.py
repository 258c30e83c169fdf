"""The console of all commands: texts are shown as they are, with what could control the terminal escaped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from transfer.wire.printable import printable_lines


class PlainConsole(Console):
    """A console that interprets nothing in a text: no markup, no names of emojis, no escape sequences.

    Parameters
    ----------
    options
        As of rich's Console.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    @property
    def file(self) -> IO[str]:
        """The stream behind all others: with bars, rich puts one of its own before ours, which escapes what it gets."""
        stream = super().file
        while (behind := getattr(stream, "rich_proxied_file", None)) is not None:
            stream = behind
        return stream

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        Console.file.fset(self, new_file)  # type: ignore[attr-defined]  # a property

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is shown; rich's own control codes stand in segments of their own."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable_lines(segment.text))

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it is shown, so that its width is right."""
        return super().render_str(printable_lines(text), **options)
