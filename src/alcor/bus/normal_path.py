"""The dataplane's side of the normal path: which steps go by the broker, once for all ncms, and which on each stream.

A scope goes by the broker while enough ncms want it. Should the broker fail, all that was left to it is said on the
streams at once and everything goes there until it is well again; no turn of the dataplane ever waits for it.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from alcor.bus.goal_frame import NormalReading
from alcor.bus.interface import Heads, ItemCodec, Marks, Publication
from alcor.bus.normal_frame import encode_normal_frames
from alcor.bus.normal_lane import Lane
from alcor.goalstate.scope import Scope, shard_of
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import BUS_BYTES, BUS_FALLBACKS, BUS_STEPS

log = get_log("bus")

NORMAL_FROM = 4
"""So many ncms want a scope: it goes by the broker."""
FAST_BELOW = 3
"""Fewer than so many still do: it comes back to the streams."""


class Choice:
    """Which scopes go by the broker, by how many ncms want them; with hysteresis.

    Bound: one entry per scope that went by the broker at its last change.
    """

    def __init__(self, normal_from: int = NORMAL_FROM, fast_below: int = FAST_BELOW) -> None:
        """Raises: ValueError unless 1 ≤ fast_below ≤ normal_from."""
        if not 1 <= fast_below <= normal_from:
            raise ValueError(
                f"a scope cannot come back below {fast_below} ncms and go from {normal_from}: "
                "the first must be 1 at least, and not above the second"
            )
        self._normal_from, self._fast_below = normal_from, fast_below
        self._normal: set[Scope] = set()

    def is_normal(self, scope: Scope, ncms: int) -> bool:
        """Whether a scope that so many ncms want goes by the broker from here on."""
        if ncms < self._fast_below:
            self._normal.discard(scope)
        elif ncms >= self._normal_from:
            self._normal.add(scope)
        return scope in self._normal


class Sender(Protocol):
    """What carries frames to the broker. Whoever holds it is told when one was not acknowledged in time."""

    @property
    def is_well(self) -> bool:
        """Whether it takes frames now."""

    @property
    def payload_max(self) -> int:
        """The largest frame it takes, in octets."""

    def send(self, epoch: int, shard: int, payload: bytes) -> None:
        """Take a frame; never blocks, never raises."""


class NormalPath:
    """Divides turns between the broker and the streams. `source`: not that of any other dataplane's life.

    Cost of a turn: one set look-up per step and ncm; each step that goes by the broker is encoded once for all.
    """

    def __init__(
        self, codec: ItemCodec, sender: Sender, *, source: int, choice: Choice | None = None
    ) -> None:
        self._codec, self._sender, self._source = codec, sender, source
        self._choice = choice or Choice()
        self._numbers: dict[int, int] = defaultdict(int)

    def publish(self, lanes: Sequence[Lane], updates: Sequence[Publication], heads: Heads) -> None:
        """One turn, to all ncms."""
        numbers, marks = self._send(lanes, updates)
        for lane in lanes:
            left = lane.publish(updates, numbers, heads, marks)
            BUS_STEPS.labels("normal").inc(left)

    def _send(self, lanes: Sequence[Lane], updates: Sequence[Publication]) -> tuple[dict[Scope, int], Marks]:
        """Give the broker what goes by it: scope → number of the frame that ends its step, and the turn's marks."""
        chosen: dict[int, list[Publication]] = defaultdict(list)
        if self._sender.is_well:
            readers = [lane.bus for lane in lanes if lane.reading]
            for update in updates:
                # A step from 0 says everything: a new history begins, on the streams.
                if update.from_revision and self._choice.is_normal(
                    update.scope, sum(bus.wants(update.scope) for bus in readers)
                ):
                    chosen[shard_of(update.scope)].append(update)
        numbers: dict[Scope, int] = {}
        awaited: dict[int, int] = {}
        for shard, steps in chosen.items():
            after = self._numbers[shard]
            frames = encode_normal_frames(self._codec, steps, source=self._source, shard=shard, after=after)
            if max(map(len, frames)) > self._sender.payload_max:
                continue  # on the streams, whose frames may be larger
            for frame in frames:
                self._sender.send(steps[0].epoch, shard, frame)
                BUS_BYTES.labels("normal").inc(len(frame))
            self._numbers[shard] = awaited[shard] = after + len(frames)
            numbers.update(dict.fromkeys([step.scope for step in steps], after + len(frames)))
        return numbers, Marks(source=self._source, awaited=awaited)

    def hear(self, lane: Lane, said: NormalReading) -> None:
        """What an ncm says of the broker."""
        if said.reading and lane.reading:
            if said.source == self._source:
                lane.confirm(said.reached)
            return
        if said.reading != lane.reading:
            if not said.reading:
                BUS_FALLBACKS.labels("ncm").inc()
            lane.read(said.reading, self._cover())

    def fall_back(self, lanes: Sequence[Lane], reason: str) -> None:
        """The broker failed: all that was left to it is said on the streams."""
        reading = [lane for lane in lanes if lane.reading]
        log.warning("normal_path_lost", reason=reason, ncms=len(reading))
        BUS_FALLBACKS.labels("broker").inc()
        for lane in reading:
            lane.flush(self._cover())

    def _cover(self) -> Marks:
        return Marks(source=self._source, covered=dict(self._numbers))
