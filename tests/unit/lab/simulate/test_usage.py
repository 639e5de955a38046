"""Memory and processor time of a run's processes."""

import os
from pathlib import Path

from alcor.lab.simulate import region


def test_memory_is_looked_at_now_and_then() -> None:
    """At first, and when it is asked for; processor time each time; what is dead keeps its figures."""
    usage = region.Usage()
    usage.sample({"me": os.getpid()})
    first = usage.rss["me"]
    usage.rss["me"] = 1
    usage.sample({"me": os.getpid(), "postgres": os.getppid()})
    kept = usage.rss["me"]
    usage.forget_memory()
    usage.sample({"me": os.getpid()})
    usage.forget_memory()
    usage.sample({"me": _no_process()})

    assert first > 1 << 20
    assert kept == 1
    assert usage.rss["me"] > 1 << 20
    assert usage.rss_max["me"] >= usage.rss["me"]
    assert usage.rss["postgres"] > 0
    assert usage.cpu_s["me"] > 0


def _no_process() -> int:
    """A number that no process has."""
    return int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
