"""Receivers of either data plane: a test names it, by the parameter `data_plane`, where bodies matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from campaign import note_figures

__all__ = ["data_plane", "make_receiver", "note_figures", "receiver_process"]


@pytest.fixture
def data_plane() -> str:
    """Return how the receivers read bodies."""
    return "socket"


@pytest.fixture
def make_receiver(make_receiver: Callable[..., Any], data_plane: str) -> Callable[..., Any]:
    """Return a function that starts a receiver with the test's data plane."""
    return lambda **settings: make_receiver(data_plane=data_plane, **settings)


@pytest.fixture
def receiver_process(receiver_process: Any, data_plane: str) -> Any:
    """Return a receiver process with the test's data plane."""
    receiver_process.options = ("--data-plane", data_plane)
    return receiver_process
