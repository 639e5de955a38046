"""A stream of pings in the background: what was lost meanwhile, for how long, and whether anything came twice."""

import re
import signal
import subprocess
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

_ANSWER: Final = re.compile(
    r"^\[(?P<at>[\d.]+)\] \d+ bytes from .*icmp_seq=(?P<seq>\d+) .*?(?P<dup>\(DUP!\))?$"
)
_SENT: Final = re.compile(r"(?P<sent>\d+) packets transmitted")
# Sequence numbers of echo are 16 bits wide.
PINGS_MAX: Final = 60_000


@dataclass(frozen=True, slots=True)
class Stream:
    """What became of a stream. `answers`: (sequence number, unix seconds) in order of arrival; `repeated`: how many
    answers came twice; `every_s`: the interval asked for.
    """

    sent: int
    answers: tuple[tuple[int, float], ...]
    repeated: int
    every_s: float

    @property
    def lost(self) -> int:
        """How many pings were not answered."""
        return len(self.missing)

    @property
    def missing(self) -> tuple[int, ...]:
        """The sequence numbers, from 1 on, of pings that were not answered."""
        answered = {seq for seq, _ in self.answers}
        return tuple(seq for seq in range(1, self.sent + 1) if seq not in answered)

    @property
    def interval_s(self) -> float:
        """The time between two pings as it was: a busy kernel sends them later than asked."""
        if len(self.answers) < 2:
            return self.every_s
        (first, began_s), (last, ended_s) = min(self.answers), max(self.answers)
        return (ended_s - began_s) / (last - first)

    @property
    def gap_s(self) -> float:
        """The longest run of pings without an answer, in seconds (their number times the interval)."""
        seen = sorted({0, self.sent + 1, *(seq for seq, _ in self.answers)})
        return max(after - before - 1 for before, after in pairwise(seen)) * self.interval_s


class PingStream:
    """`with PingStream(namespace, address) as pings: …`; then `pings.result`."""

    def __init__(self, namespace: str, address: str, *, every_s: float = 0.01) -> None:
        self._namespace, self._address, self._every_s = namespace, address, every_s
        self._process: subprocess.Popen[str] | None = None
        self._result: Stream | None = None

    def start(self) -> Self:
        """Begin."""
        self._process = subprocess.Popen(
            [
                *("ip", "netns", "exec", self._namespace, "ping", "-n", "-D", "-i", str(self._every_s)),
                *("-c", str(PINGS_MAX), "-W", "1", self._address),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self

    def stop(self, *, after_s: float = 0.5) -> Stream:
        """End it, `after_s` later, and say what it found. Its last pings may still have been under way: not counted."""
        assert self._process is not None
        time.sleep(after_s)
        self._process.send_signal(signal.SIGINT)
        text, _ = self._process.communicate(timeout=10)
        found = [match for line in text.splitlines() if (match := _ANSWER.match(line.strip()))]
        answers = tuple((int(one["seq"]), float(one["at"])) for one in found if not one["dup"])
        sent = _SENT.search(text)
        total = int(sent["sent"]) if sent else 0
        under_way = round(0.1 / self._every_s)
        last = max((seq for seq, _ in answers), default=0)
        total = last if 0 <= total - last <= under_way else total
        self._result = Stream(total, answers, sum(bool(one["dup"]) for one in found), self._every_s)
        return self._result

    @property
    def result(self) -> Stream:
        """What it found; after `stop`."""
        assert self._result is not None
        return self._result

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._result is None:
            self.stop()
