"""How much of the machine's memory this process may still take."""

from __future__ import annotations

from pathlib import Path


def available_bytes() -> int | None:
    """Return how much memory this process may still take, by the system and its control group; None: nobody says."""
    limits = []
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    limits += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            texts = [(Path("/sys/fs/cgroup") / name).read_text("ascii").strip() for name in (limit, used)]
        except OSError:
            continue
        if all(text.isdigit() for text in texts):
            limits.append(max(0, int(texts[0]) - int(texts[1])))
    return min(limits, default=None)
