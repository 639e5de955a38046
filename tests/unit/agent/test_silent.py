"""Connections of a lost rule whose opener may have fallen silent are forgotten."""

import pytest

from alcor.agent.driver import ConnectionProtocol, ConnectionTuple
from alcor.agent.silent import could_allow, parse_connection
from alcor.agent.simulated import SimulatedSwitch
from alcor.goalstate.item import AddressPair, ItemKind, Key
from alcor.goalstate.scope import members_scope
from alcor.goalstate.security_item import GroupRule, Member, RulesItem
from alcor.model.address import Ip
from tests.support.agent import FakeNcm, a_site, an_agent, local_port, mac_of, open_group, running, settled
from tests.support.packets import udp

PORT = local_port(1)
A_DATAGRAM = ConnectionTuple(ConnectionProtocol.UDP, Ip("192.0.2.9"), Ip("10.0.0.1"), 4_000, 53)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            "udp,orig=(src=192.0.2.9,dst=10.0.0.1,sport=4000,dport=53),"
            "reply=(src=10.0.0.1,dst=192.0.2.9,sport=53,dport=4000),zone=7",
            A_DATAGRAM,
        ),
        (
            "protocol 17, 192.0.2.9:4000 > 10.0.0.1:53, reply 10.0.0.1:53 > 192.0.2.9:4000, mark=0x0, label=0x0",
            A_DATAGRAM,
        ),
        (
            "udp,orig=(src=2001:db8::9,dst=2001:db8::1,sport=1,dport=2),reply=(src=2001:db8::1,dst=2001:db8::9,"
            "sport=2,dport=1),zone=7",
            ConnectionTuple(ConnectionProtocol.UDP, Ip("2001:db8::9"), Ip("2001:db8::1"), 1, 2),
        ),
        ("tcp,orig=(src=192.0.2.9,dst=10.0.0.1,sport=4000,dport=53),reply=()", None),
        ("", None),
    ],
)
def test_lines_of_the_dump(line: str, found: ConnectionTuple | None) -> None:
    """Datagram connections are read from either switch's dump as their opener sent them; others are left alone."""
    assert parse_connection(line) == found


@pytest.mark.parametrize(
    ("changes", "could"),
    [
        ({}, True),
        ({"protocol": 17, "first": 53, "last": 53}, True),
        ({"protocol": 17, "first": 50, "last": 60}, True),
        ({"protocol": 17, "first": 54, "last": 60}, False),
        ({"protocol": 6}, False),
        ({"ip_version": 6}, False),
        ({"is_ingress": False}, False),
        ({"prefix": "192.0.2.0/24"}, True),
        ({"prefix": "198.51.100.0/24"}, False),
        ({"group": "friends"}, True),
    ],
)
def test_what_a_rule_could_have_allowed(changes: dict[str, object], could: bool) -> None:
    """A rule could have allowed what agrees with its direction, version, protocol, ports and prefix."""
    fields: dict[str, object] = {"id": "r", "is_ingress": True, "ip_version": 4} | changes
    rule = GroupRule(**fields)  # type: ignore[arg-type]  # a builder of known fields

    assert could_allow(rule, A_DATAGRAM, PORT) is could


def test_a_port_that_may_send_as_others() -> None:
    """With allowed pairs, or without port security, any address may have been the port's."""
    rule = GroupRule(id="r", is_ingress=False, ip_version=4)

    assert not could_allow(rule, A_DATAGRAM, PORT)
    assert could_allow(rule, A_DATAGRAM, local_port(1, pairs=(AddressPair("192.0.2.9/32", "m"),)))
    assert could_allow(rule, A_DATAGRAM, local_port(1, port_security_enabled=False))


async def test_a_lost_rule_ends_a_one_way_session() -> None:
    """When the rule that let a datagram in is removed, its connection is forgotten; what the rules left allow stays."""
    ncm, switch = FakeNcm(), SimulatedSwitch("s1")
    a_site(ncm, (1, 2))
    group = open_group()
    ncm.put(group, *(local_port(number, groups=("open",)) for number in (1, 2)))
    first, _ = switch.plug("port-1"), switch.plug("port-2")
    async with running(an_agent(ncm, switch)) as agent:
        zone = switch.numbers["port:port-2"]
        switch.tables.process(udp((mac_of(1), mac_of(2)), ("10.0.0.1", "10.0.0.2"), (4_000, 53)), first)
        assert len(await switch.dump_conntrack(zone)) == 1

        outward = tuple(rule for rule in group.rules if not rule.is_ingress)
        ncm.put(RulesItem(id="open", stateful=True, rules=outward))
        await settled()

        assert await switch.dump_conntrack(zone) == []
        assert len(await switch.dump_conntrack(switch.numbers["port:port-1"])) == 1
        assert agent.status()["counters"]["connections_forgotten"] == 1


def a_one_way_session(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """Ports 1 and 2, of which 2 lets in datagrams of the members of `friends` (port 1, and 10.0.0.3)."""
    a_site(ncm, (1, 2))
    out = tuple(rule for rule in open_group().rules if not rule.is_ingress)
    way_in = GroupRule(id="z", is_ingress=True, ip_version=4, protocol=17, group="friends")
    ncm.put(
        RulesItem(id="open", stateful=True, rules=out),
        RulesItem(id="friends", stateful=True, rules=(way_in,)),
    )
    ncm.commit(
        put=[
            (members_scope("friends"), Member(id="port-1", cidrs=("10.0.0.1/32",))),
            (members_scope("friends"), Member(id="port-3", cidrs=("10.0.0.3/32",))),
        ]
    )
    ncm.put(local_port(1, groups=("open",)), local_port(2, groups=("friends", "open")))
    switch.plug("port-1")
    switch.plug("port-2")


def speak(switch: SimulatedSwitch) -> None:
    """Port 1 sends port 2 a datagram."""
    switch.tables.process(
        udp((mac_of(1), mac_of(2)), ("10.0.0.1", "10.0.0.2"), (4_000, 53)), switch.vifs["port-1"]
    )


async def test_a_member_that_leaves_takes_its_sessions_along() -> None:
    """When an address leaves the set that let a datagram in, that connection is forgotten; another member's going
    forgets nothing."""
    ncm, switch = FakeNcm(), SimulatedSwitch("s1")
    a_one_way_session(ncm, switch)
    async with running(an_agent(ncm, switch)):
        speak(switch)
        zone = switch.numbers["port:port-2"]
        assert len(await switch.dump_conntrack(zone)) == 1
        ncm.commit(removed=[(members_scope("friends"), Key(ItemKind.MEMBER, "port-3"))])
        await settled()
        assert len(await switch.dump_conntrack(zone)) == 1

        ncm.commit(removed=[(members_scope("friends"), Key(ItemKind.MEMBER, "port-1"))])
        await settled()
        assert await switch.dump_conntrack(zone) == []


async def test_a_port_that_leaves_a_group_ends_what_it_let_in() -> None:
    """When a port is no longer in the group that let a datagram in, the connection is forgotten, though the group's
    rules left the host with it."""
    ncm, switch = FakeNcm(), SimulatedSwitch("s1")
    a_one_way_session(ncm, switch)
    async with running(an_agent(ncm, switch)):
        speak(switch)
        zone = switch.numbers["port:port-2"]
        assert len(await switch.dump_conntrack(zone)) == 1
        ncm.put(local_port(2, groups=("open",)))
        await settled()

        assert await switch.dump_conntrack(zone) == []
