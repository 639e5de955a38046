"""Python's collector of cycles, in a process that holds much that lives long."""

import contextlib
import gc
from collections.abc import Iterator

# New objects, and younger generations, between two collections. By default (700, 10, 10) a process that takes in a
# million items looks through all it holds again and again, and finds nothing to free: a fifth of an ncm's time then.
# Cycles do come (exceptions, tasks), some hundred a second: they wait a little longer.
THRESHOLDS = 50_000, 20, 100


@contextlib.contextmanager
def seldom_collecting() -> Iterator[None]:
    """Collect by `THRESHOLDS`, as long as this lasts."""
    before = gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
