"""Lets typer draw help pages without what only Markdown and tracebacks need, which takes as long as all the rest."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_TYPERS_OWN = "typer.rich_utils"
_UNUSED = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}


def load_help_pages() -> None:
    """Import what typer draws help pages with; call it before the first page is drawn.

    typer imports two classes of rich that our pages do not use. While it does so, classes stand for them that import
    the real ones when they are called. Modules that are there already stay, and if this typer needs more of them than
    the two classes, they are imported as usual.
    """
    if _TYPERS_OWN in sys.modules:
        return
    absent = {module: name for module, name in _UNUSED.items() if module not in sys.modules}
    sys.modules.update({module: _standing_for(module, name) for module, name in absent.items()})
    try:
        importlib.import_module(_TYPERS_OWN)
    except ImportError:
        sys.modules.pop(_TYPERS_OWN, None)
    finally:
        for module in absent:
            sys.modules.pop(module, None)


def _standing_for(module: str, name: str) -> ModuleType:
    """Return a module with one class, which makes objects of the real module's class of that name."""

    def made(_: type, *arguments: Any, **options: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*arguments, **options)

    stand_in = ModuleType(module)
    setattr(stand_in, name, type(name, (), {"__new__": made}))
    return stand_in
