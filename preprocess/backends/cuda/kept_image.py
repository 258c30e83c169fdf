"""The last image sent up, kept for the next movie: as a rule all movies of a session have one gain reference."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from preprocess.backends.contract import Image
from preprocess.backends.cuda.device import DeviceArray
from preprocess.backends.cuda.device_memory import GAIN, DeviceMemory


class KeptImage:
    """An image of the device and the array of the host that it was made of, which never changes."""

    def __init__(self, memory: DeviceMemory) -> None:
        self._memory = memory
        self._kept: tuple[Callable[[], Image | None], DeviceArray] = (lambda: None, None)

    def on_device(self, image: Image) -> DeviceArray:
        """Return an image as it is on the device."""
        made_of, there = self._kept
        if made_of() is not image:
            there = self._memory.upload(GAIN, image, "f4")
            self._kept = (weakref.ref(image), there)
        return there

    @property
    def nbytes(self) -> int:
        """Return the bytes that are kept on the device."""
        there = self._kept[1]
        return 0 if there is None else int(there.nbytes)

    def forget(self) -> None:
        """Keep it no longer."""
        self._kept = (lambda: None, None)
