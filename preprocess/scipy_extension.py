"""Loads an extension module of SciPy without the packages around it, whose import takes 0.1 s and more."""

from __future__ import annotations

import sys
from importlib.machinery import ExtensionFileLoader, PathFinder
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType


def scipy_extension(name: str, needed: tuple[str, ...]) -> ModuleType | None:
    """Return an extension module that holds the functions that are needed.

    Parameters
    ----------
    name : str
        Its full name, `scipy.fft._pocketfft.pypocketfft`.

    Returns
    -------
    ModuleType | None
        None: this SciPy has no such module, or it lacks a function; use the public ones then.
    """
    module = sys.modules.get(name) or _loaded(name)
    return module if module is not None and all(hasattr(module, function) for function in needed) else None


def _loaded(name: str) -> ModuleType | None:
    package = find_spec("scipy")
    if package is None or package.origin is None:
        return None
    folders, last = name.split(".")[1:-1], name.rpartition(".")[2]
    found = PathFinder.find_spec(last, [str(Path(package.origin).parent.joinpath(*folders))])
    if found is None or found.origin is None or not isinstance(found.loader, ExtensionFileLoader):
        return None
    loader = ExtensionFileLoader(name, found.origin)
    spec = spec_from_loader(name, loader)
    if spec is None:
        return None
    try:
        module = module_from_spec(spec)
        loader.exec_module(module)
    except ImportError:
        return None
    sys.modules[name] = module  # it is loaded once: SciPy's own packages, imported later, take this one
    return module
