"""Ids of requests: `req-` and a UUID whose first 48 bits are the time, the rest random (RFC 9562, version 7).

Requests that come one after another have ids that lie together in the history's index: a commit touches one page of it,
where random ids touch a page each.
"""

import random
import time
from collections.abc import Callable

_RANDOM_BITS = 74
_LOW_BITS = 62


class RequestIds:
    """Gives ids. They are names, no secrets: the random bits are of a generator that was seeded by the system once.

    Cost:  no system call but the clock's, which Linux answers without entering the kernel.
    """

    def __init__(self, *, clock_ns: Callable[[], int] = time.time_ns, seed: int | None = None) -> None:
        self._clock_ns = clock_ns
        self._bits = random.Random(seed).getrandbits

    def next(self) -> str:
        """A fresh id of 40 characters."""
        bits = self._bits(_RANDOM_BITS)
        high, low = bits >> _LOW_BITS, bits & ((1 << _LOW_BITS) - 1)
        now_ms = self._clock_ns() // 1_000_000
        text = f"{now_ms << 80 | 0x7 << 76 | high << 64 | 0x2 << 62 | low:032x}"
        return f"req-{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
