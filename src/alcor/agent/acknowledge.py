"""What the region is told of a turn: through which revisions the switch has everything, and how long that took."""

from collections.abc import Callable, Iterable, Mapping

from alcor.telemetry.metrics import INSTALL_SECONDS


class Acknowledged:
    """What was acknowledged on this stream: shard → through, of one epoch."""

    def __init__(self) -> None:
        self._epoch = 0
        self._through: dict[int, int] = {}

    def new_stream(self) -> None:
        """Everything is told anew."""
        self._through.clear()

    def news(self, epoch: int, realized: Mapping[int, int]) -> dict[int, int]:
        """What of this was not told yet; it counts as told."""
        if epoch != self._epoch:
            self._through.clear()
            self._epoch = epoch
        news = {shard: through for shard, through in realized.items() if self._through.get(shard) != through}
        self._through |= news
        return news

    def through(self, shards: Iterable[int]) -> int:
        """The revision through which all of these were told; -1 if one was not, or there are none."""
        return min((self._through.get(shard, -1) for shard in shards), default=-1)


class TurnTimes:
    """How long what came waited for the turn that was confirmed last, and how long that took: milliseconds."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        # When the first of what no turn has taken on came; the same of what the present turn took on; when that began.
        self._waiting_s: float | None = None
        self._taken_s: float | None = None
        self._begun_s = 0.0
        self.receive_ms = self.install_ms = 0.0

    def arrived(self) -> None:
        """Goal state came."""
        if self._waiting_s is None:
            self._waiting_s = self._monotonic_s()

    def begun(self) -> None:
        """A turn begins, with all that came."""
        self._taken_s, self._waiting_s = self._waiting_s, None
        self._begun_s = self._monotonic_s()

    def confirmed(self) -> None:
        """The barrier of the turn replied."""
        confirmed_s = self._monotonic_s()
        self.receive_ms = 0.0
        if self._taken_s is not None:
            INSTALL_SECONDS.observe(confirmed_s - self._taken_s)
            self.receive_ms = max(0.0, self._begun_s - self._taken_s) * 1000
        self.install_ms = (confirmed_s - self._begun_s) * 1000

    def undone(self) -> None:
        """The turn came to nothing: what it took on waits for the next one, since it came."""
        if self._taken_s is not None:
            self._waiting_s = self._taken_s
