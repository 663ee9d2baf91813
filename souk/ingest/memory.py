"""Whether a table that must be whole fits in memory: a refusal in words, where the kernel would kill."""

from __future__ import annotations

from pathlib import Path

from souk.errors import SoukError

COPIES = 3  # a table, its sorted copy, and what is made of it


def check_fits(size: int, what: str) -> None:
    """Refuses `what`, of `size` bytes, if it does not fit.

    Raises:
        SoukError: it does not.
    """
    free = free_bytes()
    if COPIES * size > free:
        remedy = "Give the machine or container more memory, or leave columns out."
        needed, there = (f"{value / 2**30:.1f} GiB" for value in (COPIES * size, free))
        raise SoukError(f"{what} to fit in memory", f"about {needed} needed, {there} free", remedy)


def free_bytes(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """What this process may still take: the machine's available memory, or less in a container with a limit."""
    free = _field(proc / "meminfo", "MemAvailable:") * 1024
    for folder, limit, used, cache in (
        (cgroup, "memory.max", "memory.current", "inactive_file"),
        (cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        if (folder / limit).is_file():
            most = (folder / limit).read_text(encoding="ascii").strip()
            now = int((folder / used).read_text(encoding="ascii")) - _field(folder / "memory.stat", cache)
            free = free if most == "max" else min(free, int(most) - now)
    return max(0, free)


def _field(file: Path, name: str) -> int:
    lines = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    return next((int(words[1]) for words in lines if words[0] == name), 0)
