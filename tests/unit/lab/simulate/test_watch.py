"""What is noted of an agent's stream from outside."""

from collections.abc import AsyncIterator, Sequence

import pytest

from alcor.agent.counting import CountingSwitch
from alcor.bus.interface import Ack, AgentMessage, AgentStream, Envelope, NcmMessage, ScopeUpdate
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import Scope, host_scope, neighbours_scope, shard_of
from alcor.lab.simulate.watch import Recorder, Watched


class _NoStream:
    async def send(self, message: AgentMessage) -> None:
        """Nobody hears it."""

    async def receive(self) -> AsyncIterator[Sequence[NcmMessage]]:
        """Nothing comes."""
        return
        yield []

    async def close(self) -> None:
        """Nothing to close."""


class _Connector:
    """Connects, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails, self.tried = fails, 0

    async def connect(self) -> AgentStream:
        self.tried += 1
        if self.fails:
            raise ConnectionError("nobody is there")
        return _NoStream()


def a_step(
    scope: Scope, *ids: str, from_revision: int = 4, kind: ItemKind = ItemKind.NEIGHBOUR
) -> ScopeUpdate:
    put = tuple(Envelope(Key(kind, id), 5, (), b"") for id in ids)
    return ScopeUpdate(scope=scope, epoch=1, generation=1, from_revision=from_revision, through=5, put=put)


def watched(recorder: Recorder, *connectors: _Connector) -> Watched:
    return Watched(connectors or (_Connector(),), CountingSwitch("one"), recorder)


def test_a_step_is_confirmed_when_its_shard_is() -> None:
    """Not by an acknowledgement of another shard, nor of an earlier revision."""
    recorder = Recorder(1)
    recorder.begin(is_on=True)
    one = watched(recorder)
    scope = neighbours_scope("n")
    one.received([a_step(scope, "p")])
    one.sent(Ack(epoch=1, realized={shard_of(scope): 4}))
    one.sent(Ack(epoch=1, realized={shard_of(scope) + 1: 9}))
    [before], _ = recorder.drain()

    assert (before.hosts, before.confirmed) == (1, 0)
    one.sent(Ack(epoch=1, realized={shard_of(scope): 5}))
    assert (before.hosts, before.confirmed) == (1, 1)
    assert recorder.drain()[1][0] >= 0


def test_what_is_not_recorded_is_counted() -> None:
    """Snapshots, steps and items are counted always; snapshots are never noted as changes."""
    recorder = Recorder(1)
    one = watched(recorder)
    one.received([a_step(neighbours_scope("n"), "p", "q", from_revision=0)])
    recorder.begin(is_on=True)
    one.received([a_step(neighbours_scope("n"), "p", from_revision=0)])

    assert (recorder.items, recorder.snapshots, recorder.steps) == (3, 2, 0)
    assert recorder.drain() == ([], [])


def test_a_vif_is_plugged_where_a_port_is_bound() -> None:
    """And pulled out where it is not any more."""
    one = watched(Recorder(1))
    scope = host_scope("h")
    one.received([a_step(scope, "p", "q", kind=ItemKind.LOCAL_PORT)])
    gone = ScopeUpdate(
        scope=scope,
        epoch=1,
        generation=1,
        from_revision=5,
        through=6,
        removed=(Key(ItemKind.LOCAL_PORT, "p"),),
    )
    one.received([gone])

    assert list(one.switch.vifs) == ["q"]


async def test_the_next_ncm_is_tried_after_a_failure() -> None:
    """And then kept."""
    bad, good = _Connector(fails=True), _Connector()
    one = watched(Recorder(1), bad, good)

    with pytest.raises(ConnectionError):
        await one.connect()
    await one.connect()
    await one.connect()
    assert (bad.tried, good.tried) == (1, 2)


async def test_it_counts_what_passed_either_way() -> None:
    """Who looks at the agent again and again need not ask it as long as nothing passed."""
    one = watched(Recorder(1))
    stream = await one.connect()
    counts = [one.passed]
    one.received([a_step(neighbours_scope("n"), "p")])
    counts.append(one.passed)
    await stream.send(Ack(epoch=1, realized={0: 1}))
    counts.append(one.passed)
    await stream.close()
    counts.append(one.passed)

    assert counts == [0, 1, 2, 3]
