"""Holds calls that only some systems have to a few files, and tries what a system without them makes of the rest."""

from __future__ import annotations

import ast
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    "agents",
    "api",
    "preprocess",
    "transfer",
    "benchmarks",
    "command_errors.py",
    "configuration.py",
    "cryoferry.py",
)

MODULES = {
    *("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"),  # Unix only
    *("msvcrt", "winreg", "winsound", "_winapi"),  # Windows only
    "select",  # on Windows for sockets only, without poll
    "ctypes",  # the libraries that it loads differ
}
"""Modules of the standard library that some systems lack."""

ON_WINDOWS = {
    *("abc", "abort", "access", "add_dll_directory", "altsep", "chdir", "chmod", "close", "closerange", "cpu_count"),
    *("curdir", "defpath", "device_encoding", "devnull", "DirEntry", "dup", "dup2", "environ", "error", "execl"),
    *("execle", "execlp", "execlpe", "execv", "execve", "execvp", "execvpe", "extsep", "fdopen", "fsdecode"),
    *("fsencode", "fspath", "fstat", "ftruncate", "get_exec_path", "get_handle_inheritable", "get_inheritable"),
    *("get_terminal_size", "getcwd", "getcwdb", "getenv", "getlogin", "getpid", "getppid", "isatty", "linesep"),
    *("listdir", "lseek", "lstat", "makedirs", "mkdir", "name", "open", "path", "pathsep", "pardir", "pipe", "popen"),
    *("process_cpu_count", "putenv", "PathLike", "read", "readlink", "remove", "removedirs", "rename", "renames"),
    *("replace", "rmdir", "scandir", "sep", "set_handle_inheritable", "set_inheritable", "spawnl", "spawnle", "spawnv"),
    *("spawnve", "startfile", "stat", "stat_result", "strerror", "supports_dir_fd", "supports_fd", "symlink", "system"),
    *("supports_follow_symlinks", "supports_bytes_environ", "supports_effective_ids", "sys", "st", "terminal_size"),
    *("times", "times_result", "truncate", "umask", "unlink", "unsetenv", "urandom", "utime", "waitpid", "walk"),
    *("waitstatus_to_exitcode", "write", "_exit", "_Environ", "PathLike", "GenericAlias", "Mapping", "MutableMapping"),
    *("F_OK", "R_OK", "W_OK", "X_OK", "SEEK_SET", "SEEK_CUR", "SEEK_END", "P_NOWAIT", "P_NOWAITO", "P_WAIT"),
    *("O_RDONLY", "O_WRONLY", "O_RDWR", "O_APPEND", "O_CREAT", "O_EXCL", "O_TRUNC", "EX_OK", "TMP_MAX"),
}
"""What `os` offers on Windows, too, and does the same there (https://docs.python.org/3/library/os.html)."""

ON_ONE_PLACE = {"fsync", "link", "kill"}
"""On Windows they exist, but do something else: a descriptor open for reading is not synced, kill(pid, 0) ends it."""

OS_NAMES = ({name for name in dir(os) if not name.startswith("__")} - ON_WINDOWS) | ON_ONE_PLACE
SIGNALS = {name for name in dir(signal) if name.startswith("SIG")} - {
    *("SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN"),
}
SIGNAL_NAMES = SIGNALS | {
    *("alarm", "getitimer", "setitimer", "pause", "pthread_kill", "pthread_sigmask", "set_wakeup_fd"),
    *("siginterrupt", "sigpending", "sigtimedwait", "sigwait", "sigwaitinfo"),
}
SOCKET_NAMES = {
    *("AF_UNIX", "AF_NETLINK", "AF_PACKET", "MSG_DONTWAIT", "MSG_NOSIGNAL", "MSG_ZEROCOPY", "SO_REUSEPORT"),
    *("SO_BINDTODEVICE", "SO_PEERCRED", "TCP_INFO", "TCP_CONGESTION", "TCP_CORK", "TCP_QUICKACK", "TCP_USER_TIMEOUT"),
    *("TCP_DEFER_ACCEPT", "TCP_NOTSENT_LOWAT", "sendmsg_afalg", "send_fds", "recv_fds"),
}
NAMES = {"os": OS_NAMES, "signal": SIGNAL_NAMES, "socket": SOCKET_NAMES}
KEYWORDS = {
    *("dir_fd", "src_dir_fd", "dst_dir_fd"),
    *("preexec_fn", "pass_fds", "process_group", "umask", "extra_groups"),  # subprocess.Popen
}
FOLDERS = ("/proc", "/sys/")

PLATFORM_FILES = {
    "transfer/disk/files.py": "files",
    "transfer/disk/flags.py": "flags for opening",
    "transfer/disk/folders.py": "folders",
    "transfer/disk/locks.py": "locks",
    "transfer/disk/state.py": "a disk's state",
    "transfer/platform.py": "processes, pipes, sockets",
    "transfer/connections/tcp.py": "what Linux offers for TCP, and sendfile: it needs the socket's own details",
    "preprocess/backends/cuda/nvcomp.py": "nvCOMP, which NVIDIA makes for some systems",
    "preprocess/platform.py": "preprocess may import nothing of ours",
}
"""Every call that some system lacks stands in one of them, and each can be imported on every system."""

LINUX_PROGRAMS = {
    "benchmarks/device/first_run.py": "stops a group of processes",
    "benchmarks/flow/command.py": "refuses systems without /proc",
    "benchmarks/flow/phase.py": "notes the load",
    "benchmarks/flow/process_usage.py": "reads /proc",
    "benchmarks/flow/running.py": "looks at /proc",
    "benchmarks/flow/unsynced.py": "writes a Linux machine's files to its disk",
    "benchmarks/machine.py": "describes a Linux machine",
    "benchmarks/measured_child.py": "imports next to nothing, so that it measures the command alone",
    "benchmarks/measuring.py": "stops a group of processes",
    "benchmarks/transfer/paths/congestion.py": "sets Linux's congestion control",
    "benchmarks/transfer/paths/emulation.py": "makes network namespaces",
    "benchmarks/transfer/paths/servers.py": "stops a group of processes",
    "benchmarks/transfer/paths/usage.py": "reads /proc",
}
"""Benchmarks that measure by what Linux alone offers; nobody runs them elsewhere."""


def sources() -> Iterator[Path]:
    for name in SOURCES:
        path = ROOT / name
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def platform_calls(source: str) -> set[str]:
    """Return what a source uses that some system lacks."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] in MODULES}
        elif isinstance(node, ast.ImportFrom):
            found |= _imported(node)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in NAMES.get(node.value.id, ()):
                found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Call):
            found |= _called(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(FOLDERS):
            found.add(node.value)
    return found


def _imported(node: ast.ImportFrom) -> set[str]:
    module = (node.module or "").split(".")[0]
    if module in MODULES:
        return {module}
    return {f"{module}.{alias.name}" for alias in node.names if alias.name in NAMES.get(module, ())}


def _called(node: ast.Call) -> set[str]:
    """Return the keywords that some system refuses, names asked for by `getattr`, and modules by `import_module`."""
    found = {str(keyword.arg) for keyword in node.keywords if keyword.arg in KEYWORDS}
    words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if name in ("getattr", "hasattr") and node.args and isinstance(node.args[0], ast.Name):
        found |= {f"{node.args[0].id}.{word}" for word in words if word in NAMES.get(node.args[0].id, ())}
    if name in ("import_module", "__import__"):
        found |= {str(word) for word in words if word in MODULES}
    return found


def test_calls_that_some_system_lacks_stand_in_a_few_files() -> None:
    used = {str(path.relative_to(ROOT)): platform_calls(path.read_text("utf-8")) for path in sources()}
    allowed = PLATFORM_FILES.keys() | LINUX_PROGRAMS.keys()
    assert {path: calls for path, calls in used.items() if calls and path not in allowed} == {}
    assert {path for path in allowed if not used[path]} == set(), "these need no exception any more"


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("import fcntl", "fcntl"),
        ("from select import poll", "select"),
        ("import importlib; importlib.import_module('pwd')", "pwd"),
        ("import os; os.pread(1, 2, 3)", "os.pread"),
        ("from os import sendfile", "os.sendfile"),
        ("import os; getattr(os, 'O_DIRECTORY', 0)", "os.O_DIRECTORY"),
        ("import os; hasattr(os, 'sched_getaffinity')", "os.sched_getaffinity"),
        ("import os; os.fsync(1)", "os.fsync"),
        ("import os; os.mkdir('x', dir_fd=1)", "dir_fd"),
        ("import signal; signal.SIGKILL", "signal.SIGKILL"),
        ("import socket; socket.TCP_INFO", "socket.TCP_INFO"),
        ("from pathlib import Path; Path('/proc/meminfo')", "/proc/meminfo"),
    ],
)
def test_such_a_call_is_found(source: str, call: str) -> None:
    assert platform_calls(source) == {call}


@pytest.mark.parametrize(
    "source",
    [
        "import os; os.open('x', os.O_RDWR | os.O_CREAT); os.replace('x', 'y'); os.environ; os.getpid()",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_DFL)",
        "import socket; socket.TCP_NODELAY",
        "text = 'see /proc/meminfo'",
    ],
)
def test_what_every_system_has_is_not_found(source: str) -> None:
    assert platform_calls(source) == set()


WITHOUT_THEM = """
import builtins, importlib, os, pkgutil, select, socket, sys

ours = ("agents", "api", "benchmarks", "command_errors", "configuration", "cryoferry", "preprocess", "transfer")
lacking = {"fcntl", "grp", "posix", "pwd", "resource", "termios"}
importing = builtins.__import__

def without(name, globals=None, *others):
    asked_by = (globals or {}).get("__name__", "")
    if name.split(".")[0] in lacking and asked_by.split(".")[0] in ours:
        raise ModuleNotFoundError(name)
    return importing(name, globals, *others)

builtins.__import__ = without
"""
"""Begins a program whose modules of ours cannot import what only Unix has; libraries choose for themselves."""


def run(program: str, *arguments: str) -> str:
    words = [sys.executable, "-c", WITHOUT_THEM + program, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_our_modules_import_without_what_only_unix_has() -> None:
    program = """
for root in ("transfer", "preprocess", "agents"):
    for module in pkgutil.walk_packages(importlib.import_module(root).__path__, f"{root}."):
        if not module.name.startswith("preprocess.backends.cuda"):  # imports CuPy
            importlib.import_module(module.name)
print(len([name for name in sys.modules if name.split(".")[0] in ours]))
"""
    assert int(run(program)) > 100


def test_the_disk_works_without_what_only_unix_has(tmp_path: Path) -> None:
    program = """
for name in ("pread", "preadv", "pwrite", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "SEEK_HOLE"):
    delattr(os, name)

from pathlib import Path
from transfer.disk import files, folders, locks

folder = Path(sys.argv[1])
files.make_file(folder / "file", lambda path: path.write_bytes(b"content"))
files.make_link(folder / "link", folder / "file")
files.name_new_file(folder / "file", folder / "name")
descriptor = files.open_to_write(folder / "file")
files.write_at(descriptor, b"--", 4)
buffer = memoryview(bytearray(3))
assert files.read_into_at(descriptor, buffer, 2) == 3
assert files.may_have_holes(descriptor, 7)
print(files.read_at(descriptor, 100, 0).decode(), bytes(buffer).decode(), (folder / "link").read_text())
for what in (
    lambda: locks.try_lock_span(descriptor, None),
    lambda: folders.OpenFolder.open(folder),
    lambda: locks.FileLock(folder / "lock").try_acquire(shared=True),
):
    try:
        what()
    except OSError as error:
        print(error.strerror)
"""
    first, *refusals = run(program, str(tmp_path)).splitlines()
    assert first == "cont--t nt- cont--t"
    assert [refusal.partition(";")[2].strip() for refusal in refusals] == ["the receiver needs Linux"] * 3


def test_a_lock_goes_to_the_c_library_of_windows(tmp_path: Path) -> None:
    """Hold what we ask of `msvcrt`: one byte far behind the file's content, and what its refusals mean."""
    program = """
import errno, types
from pathlib import Path

asked = []
msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_LOCK, msvcrt.LK_NBLCK = 1, 2
refusals = {}

def locking(descriptor, mode, count):
    asked.append((mode, count, os.lseek(descriptor, 0, os.SEEK_CUR)))
    if len(asked) in refusals:
        raise OSError(refusals[len(asked)], "refused")

msvcrt.locking = locking
sys.modules["msvcrt"] = msvcrt
from transfer.disk.locks import FileLock, is_locked

lock = FileLock(Path(sys.argv[1]) / "lock")
refusals |= {1: errno.EACCES, 2: errno.EDEADLK, 4: errno.EACCES}
print(lock.try_acquire(), lock.try_acquire(wait=True), is_locked(lock.path))
print(asked == [(2, 1, 1 << 30), (1, 1, 1 << 30), (1, 1, 1 << 30), (2, 1, 1 << 30)])
"""
    assert run(program, str(tmp_path)) == "False True True\nTrue\n"


def test_select_stands_for_poll_where_there_is_none() -> None:
    program = """
del select.poll
from transfer.platform import SocketWatch

near, far = socket.socketpair()
watch = SocketWatch(near, for_input=True)
before = watch.wait(0)
far.send(b"x")
print(before, watch.wait(10).input)
"""
    assert hasattr(select, "poll")
    assert run(program) == "None True\n"
