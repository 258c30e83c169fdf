"""A stand-in for CuPy over NumPy, for the calls that our code makes; kernels are our own, compiled for the host.

It proves logic: that classes ask for the right memory, give kernels what they take, and that kernels compute what they
should. It proves nothing about a device: no speed, no race within a piece of a kernel, no limit of registers.
It is stricter than NumPy where CuPy is: arrays of the host and of the device do not mix, fresh memory holds rubbish,
and the inverse transform destroys what it reads.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import threading
import time
import types
import weakref
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import kernels_on_host
import numpy as np
import scipy.fft
from queues_on_host import AT_ONCE, Queue, Queues
from reused_memory import HandedOut, ReusedMemory, handed_out, without_owner

RUBBISH = 0xFF
"""Each byte of fresh memory: not-a-number as a float, far out as an integer."""
DEVICE_BYTES = 2**31
NO_MEMORY = 2
"""The status of a failed allocation."""
NO_DEVICE = 100


class CUDARuntimeError(RuntimeError):
    """What CuPy raises when the runtime fails."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"cudaError {status}")


class CUDADriverError(RuntimeError):
    """What CuPy raises when the driver fails: it launches kernels."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"CUDA_ERROR {status}")


class NVRTCError(RuntimeError):
    """What CuPy raises when the compiler's library fails."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"NVRTC_ERROR {status}")


class CompileException(Exception):
    """What CuPy raises when the compiler refuses a source. It is no RuntimeError, as in CuPy."""

    def __init__(self, msg: str, source: str, name: str, options: tuple[str, ...], backend: str = "nvrtc") -> None:
        self._msg = msg
        super().__init__()

    def __str__(self) -> str:
        return self._msg


class CuFFTError(RuntimeError):
    """What CuPy raises when cuFFT fails; it calls the status `result`."""

    def __init__(self, result: int) -> None:
        self.result = result
        super().__init__(f"CUFFT {result}")


class OutOfMemoryError(MemoryError):
    """What CuPy raises when memory cannot be had."""


def failure(kind: str, status: int) -> Exception:
    """Return an error of one of CuPy's classes."""
    if kind == "CompileException":
        return CompileException(f"error {status}", "", "", ())
    classes = (CUDARuntimeError, CUDADriverError, NVRTCError, CuFFTError)
    return {each.__name__: each for each in classes}[kind](status)


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """What the device will fail with, and when.

    Attributes
    ----------
    kernel : str
        The kernel whose first launch fails, or whose compiler does; `fft`: the first transform; `setup`: the first
        stream that is made.
    kind : str
        The class of the error.
    status : int
        CUDA's own number. Of the runtime, the driver and cuFFT, all but that of a failed allocation leave the device
        useless for the rest of the process.
    """

    kernel: str
    kind: str
    status: int

    @property
    def lasts(self) -> bool:
        """Return whether it happens each time: what a compiler refuses, it refuses again."""
        return self.kind in {"NVRTCError", "CompileException"}

    @property
    def spoils_device(self) -> bool:
        """Return whether every later call fails too."""
        return self.kind in {"CUDARuntimeError", "CUDADriverError", "CuFFTError"} and self.status != NO_MEMORY


class HostDevice:
    """The one device: how much memory it has, how much is taken, what was started on it.

    On a dry one memory is counted, but only touched where something is copied, and nothing is computed: so movies of
    any size can be taken through it. Where work waits in queues, memory that came back holds what it held, and is
    handed out again on the stream that took it.
    """

    def __init__(self, total: int = DEVICE_BYTES, *, dry: bool = False, order: str = AT_ONCE) -> None:
        self.total = total
        self.dry = dry
        self.count = 1  # of devices that are said to be there
        self.taken = 0
        self.highest = 0
        self.taken_anew = 0
        self.launches: list[str] = []
        self.copies_down = 0
        self.attributes: dict[int, int] = {}  # by CUDA's number, all others 0
        self.waits = 0
        self.refuses_pinned = False
        self.bits_by_batch = False  # whether a transform's last bits depend on how many are made together
        self.pinned: list[int] = []
        self.flags: tuple[str, ...] = kernels_on_host.USUAL
        self.flags_of_kernels: dict[str, tuple[str, ...]] = {}  # of some, other ones
        self.lock = threading.RLock()
        self.queues = Queues(order, self.lock)
        self.reused_pinned = ReusedMemory(RUBBISH)
        self.fault: PlannedFault | None = None
        self.is_due: Callable[[], bool] = lambda: True
        self.when_failed: Callable[[], None] = lambda: None
        self.spoilt: int | None = None

    def reach(
        self, kernel: str, kinds: tuple[str, ...] = ("CUDARuntimeError", "CUDADriverError", "CuFFTError")
    ) -> None:
        """Fail if the device is spoilt, or if a fault of one of these kinds is planned for here."""
        self.check()
        fault = self.fault
        if fault is None or fault.kernel != kernel or fault.kind not in kinds or not self.is_due():
            return
        self.fault = fault if fault.lasts else None
        self.when_failed()
        if fault.spoils_device:
            self.spoilt = fault.status
        raise failure(fault.kind, fault.status)

    @property
    def queued(self) -> bool:
        """Return whether work waits in queues."""
        return self.queues.order != AT_ONCE

    def check(self) -> None:
        """Fail if an earlier failure has spoilt the device."""
        if self.spoilt is not None:
            raise CUDARuntimeError(self.spoilt)

    def take(self, size: int) -> None:
        self.check()
        with self.lock:
            if self.taken + size > self.total:
                raise CUDARuntimeError(NO_MEMORY)
            self.taken += size
            self.taken_anew += 1
            self.highest = max(self.highest, self.taken)

    def give_back(self, size: int) -> None:
        with self.lock:
            self.taken -= size


device = HostDevice()


class Block(bytearray):
    """Memory of the device; goes back where it came from when nothing refers to it any more."""

    give_back: Callable[[int], None] | None = None

    def __del__(self) -> None:
        if self.give_back is not None:
            self.give_back(len(self))


class UntouchedBlock(mmap.mmap):
    """The same, as pages that are not there before they are touched."""

    give_back: Callable[[int], None] | None = None
    size = 0

    def __del__(self) -> None:
        if self.give_back is not None:
            self.give_back(self.size)


def new_block(size: int, give_back: Callable[[int], None]) -> Block | UntouchedBlock:
    """Return memory of the dry device or the other, filled with rubbish if it is there at all."""
    if not device.dry or size == 0:
        block = Block(bytes([RUBBISH]) * size)
        block.give_back = give_back
        return block
    untouched = UntouchedBlock(-1, size)
    untouched.size = size
    untouched.give_back = give_back
    return untouched


class Memory:
    """Memory of the device as the runtime gives it. A pool that has it hands out blocks in its place."""

    def __init__(self, size: int) -> None:
        device.take(size)


class MemoryPointer:
    def __init__(self, mem: Any, offset: int = 0) -> None:
        self.mem = mem
        self.offset = offset

    @property
    def ptr(self) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(self.mem)) + self.offset


class ndarray(np.ndarray):  # noqa: N801 - CuPy's name
    """An array of the device."""

    __array_priority__ = 1000

    def __new__(cls, shape: Any, dtype: Any = float, memptr: MemoryPointer | None = None) -> ndarray:
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        memptr = memptr or current_allocator()(size)
        return (
            np.ndarray.__new__(cls, shape, dtype, buffer=memptr.mem, offset=memptr.offset)
            if size
            else _empty(shape, dtype)
        )

    def get(self, stream: Any = None, order: str = "C", out: np.ndarray | None = None) -> np.ndarray:
        device.check()
        device.copies_down += 1
        if out is None:
            out = np.empty(self.shape, self.dtype, order=order)
        assert type(out) is np.ndarray
        assert (out.shape, out.dtype) == (self.shape, self.dtype)
        (stream or current_stream()).do(_copying(out, without_owner(self)))
        (stream or current_stream()).catch_up()
        return out

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        device.check()
        assert type(arr) is np.ndarray, "what is set comes from the host"
        assert (arr.shape, arr.dtype) == (self.shape, self.dtype)
        pinned = handed_out(arr) is not None
        given = without_owner(arr) if pinned or not device.queued else arr.copy()  # the driver copies pageable memory
        (stream or current_stream()).do(_copying(without_owner(self), given))

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self.__array_interface__["data"][0])

    def __setitem__(self, place: Any, value: Any) -> None:
        assert isinstance(value, ndarray) or np.ndim(value) == 0, "what is put in is on the device"
        there, given = without_owner(self), without_owner(value) if isinstance(value, ndarray) else value
        current_stream().do(lambda: there.__setitem__(place, given))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **kwargs: Any) -> Any:
        for value in (*inputs, *out):
            if type(value) is np.ndarray and value.ndim:
                raise TypeError(f"{ufunc.__name__} of an array on the device and one on the host")
        plain = [_plain(value) for value in inputs]
        if out:
            kwargs["out"] = tuple(_plain(value) for value in out)

            def compute() -> None:
                getattr(ufunc, method)(*plain, **kwargs)

            current_stream().do(compute)
            return out[0]
        current_stream().catch_up()
        return _on_device(getattr(ufunc, method)(*plain, **kwargs))


def _empty(shape: Any, dtype: Any) -> Any:
    return np.empty(shape, dtype).view(ndarray)


def _plain(value: Any) -> Any:
    return without_owner(value) if isinstance(value, ndarray) else value


def _copying(there: np.ndarray, given: np.ndarray) -> Callable[[], None]:
    return lambda: there.__setitem__(..., given)


def _on_device(value: Any) -> Any:
    return value.view(ndarray) if isinstance(value, np.ndarray) else value


class MemoryPool:
    """Keeps what is given back for who asks for as much again on the stream that it was taken on, as CuPy's does."""

    def __init__(self, allocator: Any = None) -> None:
        self._allocator = allocator or (lambda size: MemoryPointer(Memory(size)))
        self._idle: dict[tuple[int, int], int] = {}
        self._reused = ReusedMemory(RUBBISH)
        self._total = 0

    def malloc(self, size: int) -> MemoryPointer:
        stream, rounded = current_stream().ptr, -(-size // 512) * 512
        with device.lock:
            if self._idle.get((stream, rounded), 0):
                self._idle[stream, rounded] -= 1
            else:
                self._take(rounded)

            def give_back(_size: int = 0) -> None:
                with device.lock:
                    self._idle[stream, rounded] = self._idle.get((stream, rounded), 0) + 1

            if device.queued and size:
                return MemoryPointer(self._reused.take(rounded, stream, give_back))
            return MemoryPointer(new_block(size, give_back))

    def _take(self, rounded: int) -> None:
        """Get new memory; counted before it is asked for, as CuPy does."""
        for attempt in range(2):
            self._total += rounded
            try:
                self._allocator(rounded)
            except OutOfMemoryError:
                self._total -= rounded
                raise
            except CUDARuntimeError as error:
                self._total -= rounded
                if error.status != NO_MEMORY:
                    raise
                if attempt:
                    raise OutOfMemoryError(rounded, self._total) from None
                self.free_all_blocks()
            else:
                return

    def free_all_blocks(self, stream: Any = None) -> None:
        with device.lock:
            idle = self.free_bytes()
            if idle:
                device.queues.finish()  # memory is freed when all streams are through
            self._reused.forget()
            self._idle.clear()
            self._total -= idle
            device.give_back(idle)

    def free_bytes(self) -> int:
        return sum(size * count for (_, size), count in self._idle.items())

    def total_bytes(self) -> int:
        return self._total

    def used_bytes(self) -> int:
        return self._total - self.free_bytes()


def alloc_pinned_memory(size: int) -> HandedOut:
    """Return memory of the host that a device reads directly; the pool rounds up to powers of two."""
    if device.refuses_pinned:
        raise CUDARuntimeError(NO_MEMORY)
    rounded = 1 << max(0, size - 1).bit_length()
    device.pinned.append(rounded)
    return device.reused_pinned.take(rounded, "pinned", lambda: None)


class Stream:
    """A queue of work. Where work waits, a missing wait shows: in some order that events allow, the result is wrong."""

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        device.reach("setup")
        self.ptr = 0 if null else next(_numbers)
        self._null = null
        self.queue = Queue()
        _streams_by_number[self.ptr] = self

    def __enter__(self) -> Stream:
        _entered().append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _entered().pop()

    def do(self, work: Callable[[], None]) -> None:
        """Do some work, now or later. What the null stream does, all others wait for, and it for all."""
        if self._null:
            device.queues.finish()
            work()
        else:
            device.queues.ask(self.queue, work)

    def catch_up(self) -> None:
        """Do all that was asked for."""
        device.queues.catch_up(self.queue, self.queue.asked)

    def synchronize(self) -> None:
        device.check()
        device.waits += 1
        self.catch_up()

    def wait_event(self, event: Event) -> None:
        assert event.at is not None, "waits for an event that nobody recorded"
        if event.behind is not None:
            device.queues.ask(self.queue, event.behind)

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event


_numbers = itertools.count(1)
_streams_by_number: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
_streams = threading.local()
Stream.null = Stream(null=True)  # type: ignore[attr-defined]


def _entered() -> list[Stream]:
    if not hasattr(_streams, "entered"):
        _streams.entered = [Stream.null]  # type: ignore[attr-defined]
    entered: list[Stream] = _streams.entered
    return entered


def current_stream() -> Stream:
    return _entered()[-1]


class Event:
    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.at: float | None = None
        self.behind: tuple[Queue, int] | None = None

    def record(self, stream: Stream | None = None) -> None:
        self.at = time.perf_counter()
        queue = (stream or current_stream()).queue
        self.behind = (queue, queue.asked)

    def synchronize(self) -> None:
        if self.behind is not None:
            device.queues.catch_up(*self.behind)

    @property
    def done(self) -> bool:
        return self.behind is None or self.behind[0].done >= self.behind[1]


def get_elapsed_time(start: Event, end: Event) -> float:
    assert start.at is not None and end.at is not None, "an event that nobody recorded"  # noqa: PT018
    return (end.at - start.at) * 1e3


class Device:
    def __init__(self, number: int = 0) -> None:
        self.id = number

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def synchronize(self) -> None:
        device.queues.finish()


class PlanNd:
    """Batched transforms over the last axes, not normalised, as cuFFT makes them."""

    def __init__(
        self,
        shape: Any,
        inembed: Any,
        istride: int,
        idist: int,
        onembed: Any,
        ostride: int,
        odist: int,
        fft_type: int,
        batch: int,
        order: str,
        last_axis: int,
        last_size: int | None,
    ) -> None:
        assert inembed is None and onembed is None, "only contiguous transforms"  # noqa: PT018
        self.shape, self.fft_type, self.batch = tuple(shape), fft_type, batch
        self.work_area = current_allocator()(8 * batch * int(np.prod(shape)))
        self._stream = current_stream()

    def fft(self, a: ndarray, out: ndarray, direction: int) -> None:
        device.reach("fft")
        assert current_stream() is self._stream, "two streams would share the plan's work area"
        if device.dry:
            return
        given, made = without_owner(a), without_owner(out)
        current_stream().do(lambda: self._transform(given, made))

    def _transform(self, given: np.ndarray, made: np.ndarray) -> None:
        *others, last = self.shape
        half = (self.batch, *others, last // 2 + 1)
        if self.fft_type == CUFFT_R2C:
            given, made = _first(given, (self.batch, *self.shape), "f"), _first(made, half, "F")
            made[...] = scipy.fft.rfftn(given, axes=range(1, given.ndim)) * self._of_batch()
        elif self.fft_type == CUFFT_C2R:
            given, made = _first(given, half, "F"), _first(made, (self.batch, *self.shape), "f")
            scale = np.float32(np.prod(self.shape))
            made[...] = scipy.fft.irfftn(given, s=self.shape, axes=range(1, given.ndim)) * scale * self._of_batch()
            given[...] = np.nan
        else:
            raise NotImplementedError(self.fft_type)

    def _of_batch(self) -> np.float32:
        return np.float32(1 + self.batch * 2.0**-22 * device.bits_by_batch)


def _first(array: np.ndarray, shape: tuple[int, ...], char: str) -> np.ndarray:
    """Return the contiguous beginning of an array as one of `shape`; the device looks at addresses alone."""
    assert array.flags.c_contiguous
    assert array.dtype.char == char
    return array.reshape(-1)[: int(np.prod(shape))].reshape(shape)


CUFFT_R2C, CUFFT_C2R, CUFFT_C2C, CUFFT_FORWARD, CUFFT_INVERSE = 0x2A, 0x2C, 0x29, -1, 1


class RawKernel:
    def __init__(self, code: str, name: str, options: tuple[str, ...] = (), **_: Any) -> None:
        device.reach(name, ("NVRTCError", "CompileException"))
        self.name = name
        flags = device.flags_of_kernels.get(name, device.flags)
        self._library = None if device.dry else kernels_on_host.HostLibrary(code, flags)

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], **_: Any) -> None:
        device.reach(self.name)
        device.launches.append(self.name)
        if self._library is not None:
            current_stream().do(self._library.prepared(self.name, grid, block, args))


class RawModule:
    def __init__(self, *, code: str, options: tuple[str, ...] = (), **_: Any) -> None:
        self._code = code

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self._code, name)


_pool = MemoryPool()
_local = threading.local()


def current_allocator() -> Callable[[int], MemoryPointer]:
    return getattr(_local, "allocator", None) or _pool.malloc


def alloc(size: int) -> MemoryPointer:
    return current_allocator()(size)


@contextmanager
def using_allocator(allocator: Any = None):
    before, _local.allocator = getattr(_local, "allocator", None), allocator
    try:
        yield
    finally:
        _local.allocator = before


def asnumpy(array: Any, stream: Any = None, order: str = "C", out: Any = None) -> np.ndarray:
    return array.get(out=out) if isinstance(array, ndarray) else np.asarray(array)


def empty(shape: Any, dtype: Any = float) -> ndarray:
    return ndarray(shape, dtype)


def zeros(shape: Any, dtype: Any = float) -> ndarray:
    made = ndarray(shape, dtype)
    made[...] = 0
    return made


def full(shape: Any, fill_value: Any, dtype: Any = None) -> ndarray:
    made = ndarray(shape, np.dtype(dtype or np.array(fill_value).dtype))
    made[...] = fill_value
    return made


def array(value: Any, dtype: Any = None) -> ndarray:
    if isinstance(value, ndarray):
        current_stream().catch_up()
    plain = np.array(_plain(value), dtype=dtype)
    made = ndarray(plain.shape, plain.dtype)
    current_stream().do(_copying(without_owner(made), plain))
    return made


def asarray(value: Any, dtype: Any = None) -> ndarray:
    same = isinstance(value, ndarray) and (dtype is None or value.dtype == dtype)
    return value if same else array(value, dtype)


def ascontiguousarray(value: Any, dtype: Any = None) -> ndarray:
    return asarray(value, dtype) if _plain(asarray(value)).flags.c_contiguous else array(value, dtype)


def _of_numpy(function: Any) -> Any:
    def called(*args: Any, **kwargs: Any) -> Any:
        current_stream().catch_up()
        plain = [[_plain(part) for part in arg] if isinstance(arg, list | tuple) else _plain(arg) for arg in args]
        result = function(*plain, **{name: _plain(value) for name, value in kwargs.items()})
        return tuple(_on_device(part) for part in result) if isinstance(result, tuple) else _on_device(result)

    return called


def memcpy(dst: int, src: int, size: int, kind: int, stream: Any = None) -> None:
    device.check()
    on = Stream.null if stream is None else _streams_by_number[stream]  # type: ignore[attr-defined]
    on.do(lambda: ctypes.memmove(dst, src, size) and None)


def _device_count() -> int:
    if device.count == 0:
        raise CUDARuntimeError(NO_DEVICE)
    return device.count


def module() -> types.ModuleType:
    """Return what is to be found as `cupy`."""
    stand_in = types.ModuleType("cupy")
    own = (ndarray, asnumpy, empty, zeros, full, array, asarray, ascontiguousarray, RawKernel, RawModule)
    for thing in own:
        setattr(stand_in, thing.__name__, thing)
    namespace = types.SimpleNamespace
    memory = namespace(OutOfMemoryError=OutOfMemoryError, MemoryPool=MemoryPool, MemoryPointer=MemoryPointer)
    runtime = namespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=_device_count,
        getDeviceProperties=lambda number: {
            "name": b"this host",
            "totalGlobalMem": device.total,
            "major": 9,
            "minor": 0,
        },
        getDevice=lambda: 0,
        deviceGetAttribute=lambda number, _: device.attributes.get(number, 0),
        driverGetVersion=lambda: 12080,
        runtimeGetVersion=lambda: 12090,
        memGetInfo=lambda: (device.total - device.taken, device.total),
        memcpyAsync=memcpy,
        memcpy=memcpy,
        memcpyHostToDevice=1,
        memcpyDeviceToHost=2,
    )
    cufft = namespace(
        PlanNd=PlanNd,
        CUFFT_R2C=CUFFT_R2C,
        CUFFT_C2R=CUFFT_C2R,
        CUFFT_C2C=CUFFT_C2C,
        CUFFT_FORWARD=CUFFT_FORWARD,
        CUFFT_INVERSE=CUFFT_INVERSE,
        CuFFTError=CuFFTError,
    )
    stand_in.cuda = namespace(  # type: ignore[attr-defined]
        Device=Device,
        Stream=Stream,
        Event=Event,
        get_elapsed_time=get_elapsed_time,
        get_current_stream=current_stream,
        MemoryPool=MemoryPool,
        MemoryPointer=MemoryPointer,
        Memory=Memory,
        using_allocator=using_allocator,
        alloc=alloc,
        alloc_pinned_memory=alloc_pinned_memory,
        memory=memory,
        runtime=runtime,
        driver=namespace(CUDADriverError=CUDADriverError),
        nvrtc=namespace(NVRTCError=NVRTCError),
        compiler=namespace(CompileException=CompileException),
        cufft=cufft,
    )
    stand_in.get_default_memory_pool = lambda: _pool  # type: ignore[attr-defined]
    stand_in.fft = namespace(rfft2=_of_numpy(scipy.fft.rfft2), irfft2=_of_numpy(scipy.fft.irfft2))  # type: ignore[attr-defined]

    def others(name: str) -> Any:
        found = getattr(np, name)
        return found if isinstance(found, type) or not callable(found) else _of_numpy(found)

    stand_in.__getattr__ = others  # type: ignore[method-assign]
    return stand_in
