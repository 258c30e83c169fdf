"""Copies from a CUDA device, into pinned memory if there is any, on a stream of their own beside computing."""

from __future__ import annotations

import threading
from typing import Any

from numpy.typing import DTypeLike, NDArray

from preprocess.backends.cuda.device import DeviceArray, cupy
from preprocess.backends.cuda.device_timer import DeviceTimer
from preprocess.backends.cuda.pinned import pinned_bytes


class Downloads:
    """Sends arrays of the current device down, one after the other.

    What is copied is kept, at both ends, until the copy is done, whether or not anybody waits for it.
    """

    def __init__(self, timer: DeviceTimer) -> None:
        self._timer = timer
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._copying: list[tuple[Any, DeviceArray, NDArray[Any]]] = []
        self._lock = threading.Lock()

    def begin(self, array: DeviceArray, dtype: DTypeLike) -> tuple[NDArray[Any], Any]:
        """Have an array copied after all that the current stream was asked for until now.

        Parameters
        ----------
        array : DeviceArray
            What is copied.
        dtype : DTypeLike
            The number type of the copy: its bytes are the array's.

        Returns
        -------
        NDArray[Any]
            The copy, whole when the event has happened.
        Any
            The event: see `wait_for`.
        """
        arriving: NDArray[Any] = pinned_bytes(array.nbytes).view(dtype).reshape(array.shape)
        made, there = cupy.cuda.Event(disable_timing=True), cupy.cuda.Event(block=True, disable_timing=True)
        made.record()
        runtime = cupy.cuda.runtime
        with self._stream:
            self._stream.wait_event(made)
            with self._timer.stage("download", moved_bytes=array.nbytes):
                places = (arriving.ctypes.data, array.data.ptr, array.nbytes)
                runtime.memcpyAsync(*places, runtime.memcpyDeviceToHost, self._stream.ptr)
            there.record(self._stream)
        self._let_go()
        with self._lock:
            self._copying.append((there, array, arriving))
        return arriving, there

    def wait_for(self, there: Any) -> None:
        """Wait until a copy is whole."""
        there.synchronize()
        self._let_go()

    def _let_go(self) -> None:
        """Give back what was copied, at either end."""
        with self._lock:
            self._copying = [copy for copy in self._copying if not copy[0].done]
