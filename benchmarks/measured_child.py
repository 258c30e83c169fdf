"""Runs one command and reports what it took. A small separate process, for a fair reading.

The kernel counts the memory of the process that starts a program as the program's own until it has begun; a large
benchmark must therefore not start it. This file imports next to nothing and is run by path:

    python -I -S measured_child.py REPORT_FILE COMMAND…

REPORT_FILE gets one JSON object: exit code, wall seconds, CPU seconds and peak resident bytes of the command's
process and those it waited for. If the command cannot be started, `error` says why.
"""

import json
import os
import sys
import time


def main() -> None:
    """Run the command and write the report."""
    report, command = sys.argv[1], sys.argv[2:]
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            os.execvp(command[0], command)  # noqa: S606 - there is no shell in between, as is wanted
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
            os._exit(127)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024
    with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is an import more
        json.dump(
            {
                "exit_code": os.waitstatus_to_exitcode(status),
                "wall_s": wall,
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "peak_bytes": usage.ru_maxrss * unit,
            },
            file,
        )


if __name__ == "__main__":
    main()
