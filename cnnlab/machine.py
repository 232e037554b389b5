"""What this machine is: its processor, its memory."""

import contextlib
import os
import platform
import resource
import sys
from pathlib import Path


def processor() -> str:
    """What code compiled for this processor depends on: its instruction sets, where they are known.

    A cache folder may be shared by different machines.
    """
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {platform.processor()} {flags}"


def memory() -> int:
    """Bytes of memory of all programs together: the machine's, or a container's limit."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # other control groups; "max"
            found.append(int(Path("/sys/fs/cgroup", limit).read_text()))
    return min(found)


def peak_memory() -> int:
    """Bytes of this process that were in memory at most so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 2**10
