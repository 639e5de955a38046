"""The queue between the driver and the agent keeps its order and its bounds."""

from alcor.agent.driver import Connected, Lost, PacketIn, SwitchEvent, VifsChanged
from alcor.agent.ovs.events import PACKET_INS_MAX, EventQueue


async def drained(queue: EventQueue) -> list[SwitchEvent]:
    """All that waits."""
    queue.connected(VifsChanged({"last": 1}))
    found: list[SwitchEvent] = []
    async for event in queue.read():
        found.append(event)
        if event == VifsChanged({"last": 1}):
            break
    return found[:-2]


async def test_a_connection_is_told_with_all_vifs() -> None:
    """Connected first, then the VIFs."""
    queue = EventQueue()
    queue.connected(VifsChanged({"a": 1}))
    queue.packet_in(PacketIn(1, 8, b""))

    assert await drained(queue) == [Connected(), VifsChanged({"a": 1}), PacketIn(1, 8, b"")]


async def test_unread_vifs_are_replaced() -> None:
    """A slow reader gets the last state, not each step to it."""
    queue = EventQueue()
    for port in range(100):
        queue.vifs_changed(VifsChanged({"a": port}))
    queue.packet_in(PacketIn(1, 8, b""))

    assert await drained(queue) == [VifsChanged({"a": 99}), PacketIn(1, 8, b"")]


async def test_a_loss_makes_what_waits_void() -> None:
    """Packets and VIFs of a switch that is gone are not told any more."""
    queue = EventQueue()
    queue.connected(VifsChanged({}))
    assert await drained(queue) == [Connected(), VifsChanged({})]
    queue.packet_in(PacketIn(1, 8, b""))
    queue.lost("gone")
    queue.connected(VifsChanged({"a": 1}))

    assert await drained(queue) == [Lost("gone"), Connected(), VifsChanged({"a": 1})]


async def test_a_connection_nobody_heard_of_is_not_lost() -> None:
    """Connected stays the first event, however often the switch came and went before anyone listened."""
    queue = EventQueue()
    queue.connected(VifsChanged({}))
    queue.lost("gone")
    queue.connected(VifsChanged({"a": 1}))

    assert await drained(queue) == [Connected(), VifsChanged({"a": 1})]


async def test_a_loss_is_not_forgotten_when_the_switch_flaps() -> None:
    """Gone, back and gone again before anyone listened: the reader still hears of one loss."""
    queue = EventQueue()
    queue.connected(VifsChanged({}))
    assert await drained(queue) == [Connected(), VifsChanged({})]
    queue.lost("first")
    queue.connected(VifsChanged({}))
    queue.lost("second")

    assert await drained(queue) == [Lost("second")]


async def test_packets_are_bounded() -> None:
    """Above the bound the newest packet is dropped and counted; reading makes room."""
    queue = EventQueue()
    for number in range(PACKET_INS_MAX + 3):
        queue.packet_in(PacketIn(number, 8, b""))
    found = await drained(queue)
    queue.packet_in(PacketIn(7, 8, b""))

    assert len(found) == PACKET_INS_MAX
    assert queue.packets_dropped == 3
    assert await drained(queue) == [PacketIn(7, 8, b"")]


async def test_the_reader_stops_at_the_end() -> None:
    """After `end` the iteration is over."""
    queue = EventQueue()
    queue.packet_in(PacketIn(7, 8, b""))
    queue.end()

    assert [event async for event in queue.read()] == []
