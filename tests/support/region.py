"""A real region in a process of its own, for tests that drive it from outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alcor.lab.ledger import Ledger
from alcor.lab.region import RegionProcess


@contextmanager
def running_region(folder: Path, *flags: str) -> Iterator[RegionProcess]:
    """`alcor up` on free ports and a folder of the test; ended with everything it started, whatever happens."""
    ledger = Ledger(folder)
    region = RegionProcess(folder, ledger)
    try:
        region.start(*flags)
        region.ready()
        yield region
    finally:
        ledger.sweep()
