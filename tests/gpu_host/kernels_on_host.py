"""Compiles the device's kernels for the host, and runs them over blocks and threads as a device would.

A kernel is compiled once for each of its sources: libraries are kept, by the digest of source and compiler, in the
folder for temporary files, whoever runs tests at the same time.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from reused_memory import without_owner

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-parameter", "-Wno-unknown-pragmas")
USUAL = ("-O2",)
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
"""For processes that have the sanitizer's library loaded first (LD_PRELOAD)."""
BACKWARDS = ("-DTHREADS_BACKWARDS",)
"""Threads of a block take turns from the last to the first."""
AHEAD = ("-DTHREADS_AHEAD", "-Wno-unused-variable")
"""Each thread of a block goes on until it has to wait at a barrier, before the next one starts."""

RACES = ("-DTHREADS_REAL", "-O1", "-g", "-fsanitize=thread", "-Wno-unused-variable", "-pthread")
"""Each thread of a block is a thread of the host, and ThreadSanitizer looks for races among them; one block at a time.
For processes that have the sanitizer's library loaded first."""

LAUNCHES = """
template <typename T> struct Code { static constexpr const char* text = "?"; };
#define CODE(type, name) template <> struct Code<type> { static constexpr const char* text = name; }
CODE(i8, "b"); CODE(u8, "B"); CODE(i16, "h"); CODE(u16, "H"); CODE(i32, "i"); CODE(u32, "I");
CODE(i64, "q"); CODE(u64, "Q"); CODE(float, "f"); CODE(double, "d");
template <typename T> struct Code<const T> : Code<T> {};
template <typename T> struct Code<T*> {
    static constexpr const char* text = "P";
    static const char* make() { static char both[8] = "P"; both[1] = Code<T>::text[0]; return both; }
};
template <typename T> struct Text { static const char* get() { return Code<T>::text; } };
template <typename T> struct Text<T*> { static const char* get() { return Code<T*>::make(); } };
template <typename... P> struct Signature {
    static const char* get() {
        static char all[256];
        const char* each[] = {Text<P>::get()..., ""};
        all[0] = 0;
        size_t end = 0;
        for (const char* code : each) {
            for (; *code; code++) all[end++] = *code;
            all[end++] = ' ';
        }
        all[end] = 0;
        return all;
    }
};
#ifdef THREADS_AHEAD
#include <csetjmp>
#include <ucontext.h>
#include <functional>
#include <memory>
#include <vector>

/* A fibre begins by setcontext once, and is switched by jumps from then on: a swap of contexts is two system calls. */
static const size_t STACK_BYTES = 1 << 18;
struct Place { jmp_buf here; };
struct Fibres {
    std::vector<ucontext_t> beginnings = std::vector<ucontext_t>(THREADS);
    std::vector<Place> places = std::vector<Place>(THREADS);
    std::vector<char> begun = std::vector<char>(THREADS, 0);
    std::unique_ptr<char[]> stacks{new char[THREADS * STACK_BYTES]};
    Place block;
    std::function<void()> work;
    int finished;
};
static thread_local Fibres* fibres;

__attribute__((noinline)) static void leave_fibre() {
    if (!_setjmp(fibres->places[host_block.thread].here)) _longjmp(fibres->block.here, 1);
}

static void host_barrier() { leave_fibre(); }

static void in_fibre() {
    for (;;) {
        fibres->work();
        fibres->finished++;
        leave_fibre();
    }
}

__attribute__((noinline)) static void enter_fibre(int thread) {
    if (_setjmp(fibres->block.here)) return;
    if (fibres->begun[thread]) _longjmp(fibres->places[thread].here, 1);
    fibres->begun[thread] = 1;
    ucontext_t& fibre = fibres->beginnings[thread];
    getcontext(&fibre);
    fibre.uc_stack.ss_sp = fibres->stacks.get() + thread * STACK_BYTES;
    fibre.uc_stack.ss_size = STACK_BYTES;
    fibre.uc_link = nullptr;
    makecontext(&fibre, in_fibre, 0);
    setcontext(&fibre);
}

/* Returns whether all threads have met at the same barriers. */
static bool run_block(std::function<void()> work) {
    static thread_local Fibres kept;
    fibres = &kept;
    kept.work = work;
    kept.finished = 0;
    while (kept.finished == 0) {
        for (int turn = 0; turn < THREADS; turn++) {
#ifdef THREADS_BACKWARDS
            host_block.thread = THREADS - 1 - turn;
#else
            host_block.thread = turn;
#endif
            enter_fibre(host_block.thread);
        }
    }
    bool met = kept.finished == THREADS;
    if (!met) kept.begun.assign(THREADS, 0);  // those that wait never go on
    return met;
}
#endif

#ifdef THREADS_REAL
#include <pthread.h>
#include <functional>
#include <thread>
#include <vector>

/* Two barriers take turns: on one alone, a thread that leaves it late would see what others did before they came to it
   again, and the sanitizer would take that for an order and be silent about races. */
static pthread_barrier_t all_threads[2];
static thread_local int turn;
static void host_barrier() { pthread_barrier_wait(&all_threads[turn ^= 1]); }

/* Each thread goes through all blocks, and waits for the others at a block's end: blocks have one SHARED memory. */
static void run_blocks(int nx, int ny, int nz, std::function<void()> work) {
    for (auto& each : all_threads) pthread_barrier_init(&each, nullptr, THREADS);
    std::vector<std::thread> threads;
    for (int number = 0; number < THREADS; number++)
        threads.emplace_back([=] {
            for (int z = 0; z < nz; z++)
                for (int y = 0; y < ny; y++)
                    for (int x = 0; x < nx; x++) {
                        host_block = {x, y, z, number};
                        work();
                        host_barrier();
                    }
        });
    for (auto& each : threads) each.join();
    for (auto& each : all_threads) pthread_barrier_destroy(&each);
}
#endif

template <typename> struct Launch;
template <typename... P> struct Launch<void (*)(P...)> {
    static const char* signature() { return Signature<P...>::get(); }
    template <void (*kernel)(P...)> static int over(int nx, int ny, int nz, P... given) {
#ifdef THREADS_REAL
        run_blocks(nx, ny, nz, [=] { kernel(given...); });
        return 1;
#endif
        for (int z = 0; z < nz; z++)
            for (int y = 0; y < ny; y++)
                for (int x = 0; x < nx; x++) {
                    host_block = {x, y, z, 0};
#ifdef THREADS_AHEAD
                    if (!run_block([=] { kernel(given...); })) return 0;
#else
                    kernel(given...);
#endif
                }
        return 1;
    }
};
"""
LAUNCH = """
extern "C" const char* signature_{0}() {{ return Launch<decltype(&{0})>::signature(); }}
extern "C" int threads_{0}() {{ return THREADS; }}
extern "C" void* launch_{0}() {{ return (void*)&Launch<decltype(&{0})>::over<{0}>; }}
"""

C_TYPES = {
    "b": ctypes.c_int8,
    "B": ctypes.c_uint8,
    "h": ctypes.c_int16,
    "H": ctypes.c_uint16,
    "i": ctypes.c_int32,
    "I": ctypes.c_uint32,
    "q": ctypes.c_int64,
    "Q": ctypes.c_uint64,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}


class HostLibrary:
    """The kernels of one source, compiled for the host."""

    def __init__(self, code: str, flags: tuple[str, ...] = USUAL) -> None:
        names = re.findall(r"KERNEL (\w+)\(", code)
        whole = code + LAUNCHES + "".join(LAUNCH.format(name) for name in names)
        self.library = ctypes.CDLL(str(compiled(whole, flags)))

    def launch(self, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        """Run a kernel over its blocks, one after the other; its arguments must be of the very types that it takes."""
        self.prepared(name, grid, block, arguments)()

    def prepared(
        self, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]
    ) -> Callable[[], None]:
        """Return what runs a kernel later; its arrays' memory stays there, though others may have got it by then."""
        signature = getattr(self.library, f"signature_{name}")
        signature.restype = ctypes.c_char_p
        codes = signature().decode().split()
        assert len(codes) == len(arguments), f"{name} takes {len(codes)} arguments, not {len(arguments)}"
        (threads, *others), sizes = block, (*grid, 1, 1)[:3]
        assert set(others) <= {1}, "blocks have one dimension"
        made_for = getattr(self.library, f"threads_{name}")()
        assert threads == made_for <= 1024, f"{threads} threads in a block, compiled for {made_for}"
        assert sizes[0] < 2**31 and max(sizes[1:]) < 2**16 and min(sizes) > 0, f"no grid: {sizes}"  # noqa: PT018
        types = [ctypes.c_void_p if code[0] == "P" else C_TYPES[code] for code in codes]
        place = getattr(self.library, f"launch_{name}")
        place.restype = ctypes.c_void_p
        run = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int] * 3, *types)(place())
        values = [as_c(name, index, *both) for index, both in enumerate(zip(codes, arguments, strict=True))]
        memory = [without_owner(each) for each in arguments if isinstance(each, np.ndarray)]

        def start() -> None:
            assert memory is not None
            assert run(*sizes, *values), f"{name}: not all threads of a block came to the same barriers"

        return start


def as_c(kernel: str, index: int, code: str, argument: Any) -> Any:
    """Return an argument as ctypes takes it; refuse what the device would misread without a word."""
    where = f"{kernel}, argument {index}"
    if code[0] != "P":
        assert isinstance(argument, np.generic), f"{where}: {argument!r} is no number of a fixed type"
        assert argument.dtype.char in ({"q": "lq", "Q": "LQ"}.get(code, code)), f"{where}: {argument.dtype} for {code}"
        return argument.item()
    if argument is None:
        return None
    assert hasattr(argument, "get"), f"{where} is not on the device"
    assert argument.flags.c_contiguous, f"{where} is not contiguous"
    char = argument.dtype.char
    fits = code[1] in "?P" or char in {"q": "lq", "Q": "LQ"}.get(code[1], code[1]) or (char, code[1]) == ("F", "f")
    assert fits, f"{where}: an array of {argument.dtype} for {code}"
    return argument.__array_interface__["data"][0]


def compiler() -> str | None:
    """Return the C++ compiler of this machine; None: there is none."""
    return shutil.which("g++") or shutil.which("c++")


@functools.cache
def _compiler_version() -> str:
    return subprocess.run([compiler() or "g++", "--version"], capture_output=True, text=True, check=True).stdout


@functools.cache
def compiled(code: str, flags: tuple[str, ...]) -> Path:
    """Return the library made of a source, compiled now or by somebody before."""
    options = ("-std=c++17", "-shared", "-fPIC", "-ffp-contract=off", *WARNINGS, *flags)
    digest = hashlib.sha256("\0".join([_compiler_version(), *options, code]).encode()).hexdigest()[:32]
    folder = Path(tempfile.gettempdir()) / f"cryoferry-host-kernels-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    assert folder.stat().st_uid == os.getuid(), f"{folder} belongs to somebody else"
    library = folder / f"{digest}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as place:
            made = Path(place) / "kernels.so"
            done = subprocess.run(
                [compiler() or "g++", *options, "-x", "c++", "-", "-o", made],
                input=code,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            made.replace(library)
    return library
