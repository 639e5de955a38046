"""What a snapshot of PostgreSQL sees: which transactions had committed when it was taken.

Snapshots of one database only ever see more, so a transaction's revision is the first one whose snapshot sees it.
Source: PostgreSQL manual, "Transaction ID and Snapshot Information Functions".
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

Xids = tuple[int, int, tuple[int, ...]]
"""A snapshot as the driver has it: (xmin, xmax, running)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`xmin`: all before it are seen; `xmax`: none from it on; between them all but `running`."""

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def of(cls, xids: Xids) -> "Snapshot":
        """From the driver's form."""
        return cls(xids[0], xids[1], frozenset(xids[2]))

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        """From PostgreSQL's text, `xmin:xmax:xip_list`."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, running.split(","))) if running else frozenset())

    def sees(self, xid: int) -> bool:
        """Whether the transaction had committed (if it ever wrote what we hold of it)."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.running)


class Revisions:
    """Consecutive revisions and their snapshots, oldest first."""

    def __init__(self, rows: Sequence[tuple[int, Snapshot]]) -> None:
        self._rows = rows
        self._xmaxs = [snapshot.xmax for _, snapshot in rows]

    def of(self, xid: int) -> int | None:
        """The first revision that sees the transaction; the oldest one for all before it; None if none does yet."""
        place = bisect_right(self._xmaxs, xid)
        while place < len(self._rows):
            revision, snapshot = self._rows[place]
            if snapshot.sees(xid):
                return revision
            place += 1
        return None
