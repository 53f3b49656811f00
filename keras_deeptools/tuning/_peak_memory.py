"""How much main memory this process has had at most."""

import contextlib
import sys
from pathlib import Path

PROCESS = Path("/proc/self")
# Linux: begins to measure the largest resident size anew.
RESET = "5"


def reset_peak_memory() -> None:
    """Begins to measure anew, where the system can: Linux, mostly."""
    with contextlib.suppress(OSError):
        (PROCESS / "clear_refs").write_text(RESET)


def peak_memory() -> int | None:
    """Most bytes of main memory since the last reset, or since the process began.

    Returns:
        Int, or None where the system does not tell.
    """
    with contextlib.suppress(OSError):
        for line in (PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
