"""Connections through a translation that is no more are forgotten."""

import asyncio

import msgspec
import pytest

from alcor.agent.driver import ConnectionProtocol, ConnectionTuple, SwitchError
from alcor.agent.handler import Confirmed
from alcor.agent.translation import StaleTranslations, parse, stale
from alcor.goalstate.item import key_of
from alcor.goalstate.router_item import FloatingIpItem, InterfaceAddress, RouterGateway, RouterItem
from alcor.goalstate.scope import host_scope
from alcor.model.address import Ip
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.tables import ROUTER_ZONES_FROM
from alcor.pipeline.view import Allocation

FLOATING = FloatingIpItem(
    id="f",
    ip="203.0.113.101",
    mac="1a:00:00:00:00:01",
    network_id="ext",
    router_id="r1",
    port_id="p",
    fixed_ip="10.0.1.1",
    fixed_network_id="red",
)
OUT = (
    "tcp,orig=(src=10.0.1.1,dst=198.51.100.9,sport=4000,dport=80),"
    "reply=(src=198.51.100.9,dst=203.0.113.101,sport=80,dport=4000),zone=32771,protoinfo=(state=ESTABLISHED)"
)
IN = (
    "icmp,orig=(src=198.51.100.9,dst=203.0.113.101,id=7,type=8,code=0),"
    "reply=(src=10.0.1.1,dst=198.51.100.9,id=7,type=0,code=0),zone=32771"
)
OTHER = (
    "udp,orig=(src=10.0.1.2,dst=198.51.100.9,sport=1,dport=2),"
    "reply=(src=198.51.100.9,dst=203.0.113.11,sport=2,dport=1),zone=32771"
)
OUT_TUPLE = ConnectionTuple(ConnectionProtocol.TCP, Ip("10.0.1.1"), Ip("198.51.100.9"), 4000, 80)
IN_TUPLE = ConnectionTuple(ConnectionProtocol.ICMP, Ip("198.51.100.9"), Ip("203.0.113.101"), 7, 8 << 8)
EVERYWHERE = [OUT, IN, OTHER]


class FakeConnections:
    """What one zone holds, and what was to be forgotten."""

    def __init__(self, *, is_gone: bool = False) -> None:
        self.flushed: list[tuple[int, ConnectionTuple | None]] = []
        self.dumped: list[int] = []
        self.is_gone = is_gone

    async def dump_conntrack(self, zone: int) -> list[str]:
        self.dumped.append(zone)
        if self.is_gone:
            raise SwitchError("gone")
        return EVERYWHERE

    async def flush_conntrack(self, zone: int, connection: ConnectionTuple | None = None) -> None:
        self.flushed.append((zone, connection))


def router(*ips: str) -> RouterItem:
    """A router with a gateway."""
    outer = tuple(InterfaceAddress(ip, "203.0.113.0/24", "s") for ip in ips)
    gateway = RouterGateway(id="g", network_id="ext", mac="0c:00:00:00:00:01", addresses=outer, snat=True)
    return RouterItem(id="r1", admin_state_up=True, interfaces=(), gateways=(gateway,))


async def after(
    before: FloatingIpItem, now: FloatingIpItem | None, switch: FakeConnections
) -> StaleTranslations:
    """What has been done when a change was confirmed and there is nothing left to do."""
    translations = StaleTranslations(switch)
    change = ItemChange(host_scope("h"), key_of(before), before, now)
    translations.note(Confirmed(items=(change,)))
    running = asyncio.create_task(translations.run(Allocation(router_keys={"r1": 3})))
    for _ in range(20):
        await asyncio.sleep(0)
    running.cancel()
    return translations


async def test_connections_of_a_floating_ip_that_goes_are_forgotten() -> None:
    """Those that it began and those that others began to it; nobody else's."""
    switch = FakeConnections()

    done = await after(FLOATING, None, switch)

    zone = ROUTER_ZONES_FROM + 3
    assert switch.flushed == [(zone, OUT_TUPLE), (zone, IN_TUPLE)]
    assert done.forgotten == 2


@pytest.mark.parametrize(
    ("changes", "is_stale"),
    [
        ({"fixed_ip": "10.0.1.2"}, True),
        ({"router_id": "r2"}, True),
        ({"ip": "203.0.113.102"}, True),
        ({"mac": "1a:00:00:00:00:02"}, False),
        ({"qos": "q"}, False),
    ],
)
def test_what_counts_is_the_translation(changes: dict[str, str], is_stale: bool) -> None:
    """Another MAC or policy ends nothing."""
    found = list(stale(FLOATING, msgspec.structs.replace(FLOATING, **changes)))

    assert found == ([("r1", FLOATING.ip)] if is_stale else [])


def test_an_address_that_a_gateway_loses_counts_too() -> None:
    """One that it keeps does not; nor does what is new."""
    assert list(stale(router("203.0.113.11", "203.0.113.12"), router("203.0.113.12"))) == [
        ("r1", "203.0.113.11")
    ]
    assert list(stale(router("203.0.113.11"), None)) == [("r1", "203.0.113.11")]
    assert list(stale(None, FLOATING)) == []


async def test_a_switch_that_is_gone_has_forgotten_by_itself() -> None:
    """It is tried once."""
    switch = FakeConnections(is_gone=True)

    await after(FLOATING, None, switch)

    assert (switch.dumped, switch.flushed) == ([ROUTER_ZONES_FROM + 3], [])


@pytest.mark.parametrize("line", ["", "igmp,orig=(src=1,dst=2),reply=(src=2,dst=1)", "tcp,orig=(),reply=()"])
def test_what_cannot_be_read_is_left_alone(line: str) -> None:
    """It ends by the switch's timeout."""
    assert parse(line) is None


def test_the_simulated_switch_is_understood() -> None:
    """Its dump has another form."""
    line = "protocol 6, 10.0.1.1:4000 > 198.51.100.9:80, reply 198.51.100.9:80 > 203.0.113.101:4000, mark=0x0"

    found = parse(line)

    assert found is not None
    assert found.connection == OUT_TUPLE
    assert "203.0.113.101" in found.addresses
