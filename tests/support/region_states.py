"""Region states with the goal state each must give, and the sequences they are walked in.

The goal state is written in short lines, one per item, without order:

    host h1             host <name>: <vteps>
    host h1             port p (n) 10.0.0.9            in the host's scope; `down` if administratively down
    network n           vxlan <segment> <mtu>
    network n           subnet s <cidr>
    network n           at h1 <vtep>
    neighbours n        p <ips> at h1 <vtep>

No hysteresis (I4): what a state gives does not depend on the way to it, so every sequence is expanded for free.
A sequence that reads the same backwards gains nothing by being reversed; vary the states instead.
"""

from dataclasses import dataclass

from alcor.goalstate.item import (
    HostItem,
    Item,
    LocalPort,
    Member,
    Neighbour,
    NetworkHost,
    NetworkItem,
    RegionItem,
    State,
    SubnetItem,
)
from alcor.goalstate.scope import Scope
from alcor.model.resource import Entity
from tests.support.goalstate import Rows, a_host, a_network, a_port, a_subnet, replaced, rows_of


@dataclass(frozen=True, slots=True, eq=False)
class RegionState:
    """All rows of a region, and the lines of the goal state they must give."""

    name: str
    rows: tuple[Entity, ...]
    lines: frozenset[str]

    @property
    def by_key(self) -> Rows:
        """The rows, by kind and id."""
        return rows_of(self.rows)


def _state(name: str, rows: list[Entity], text: str) -> RegionState:
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    assert len(lines) == len(set(lines)), f"{name} says a line twice"
    return RegionState(name, tuple(rows), frozenset(lines))


def lines_of(states: dict[Scope, State]) -> set[str]:
    """A goal state in the form above; the region's parameters, which never change, are left out."""
    return {
        f"{scope.kind.value} {scope.id} {_line(item)}"
        for scope, state in states.items()
        for item in state.values()
        if not isinstance(item, RegionItem)
    }


def _line(item: Item) -> str:
    match item:
        case HostItem():
            return f"host {item.name}: {' '.join(item.vtep_addresses)}".rstrip()
        case LocalPort():
            ips = " ".join(address.ip for address in item.addresses)
            return f"port {item.id} ({item.network_id}) {ips}{'' if item.admin_state_up else ' down'}"
        case NetworkItem():
            return f"{item.network_type} {item.segmentation_id} {item.mtu}"
        case SubnetItem():
            return f"subnet {item.id} {item.cidr}"
        case NetworkHost():
            return f"at {item.id} {item.vtep}"
        case Neighbour():
            return f"{item.id} {' '.join(item.ips)} at {item.host_id} {item.vtep}"
        case Member():
            return f"{item.id} {' '.join(item.cidrs)}"
    raise AssertionError(f"no line for {item}")


_H1, _H2 = a_host("h1", "192.0.2.1"), a_host("h2", "192.0.2.2")
_N, _M = a_network("n"), a_network("m", provider_segmentation_id=200)
_S = a_subnet("s", "n")
_P1, _P2 = a_port("p1", "n", "h1", "10.0.0.11"), a_port("p2", "n", "h2", "10.0.0.12")
_Q1 = a_port("q1", "m", "h1", "10.0.0.11")

EMPTY = _state("empty", [], "")

HOSTS = _state("hosts", [_H1, _H2], "host h1 host host-h1: 192.0.2.1 \n host h2 host host-h2: 192.0.2.2")

NETWORK = _state(
    "network without ports", [_N, _S], "network n vxlan 100 1450 \n network n subnet s 10.0.0.0/24"
)

PAIR = _state(
    "two ports on two hosts",
    [_H1, _H2, _N, _S, _P1, _P2],
    """
    host h1 host host-h1: 192.0.2.1
    host h2 host host-h2: 192.0.2.2
    host h1 port p1 (n) 10.0.0.11
    host h2 port p2 (n) 10.0.0.12
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/24
    network n at h1 192.0.2.1
    network n at h2 192.0.2.2
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    neighbours n p2 10.0.0.12 at h2 192.0.2.2
    """,
)

MOVED = _state(
    "both ports on one host",
    [_H1, _H2, _N, _S, replaced(_P1, binding_host_id="host-h2", binding_generation=1), _P2],
    """
    host h1 host host-h1: 192.0.2.1
    host h2 host host-h2: 192.0.2.2
    host h2 port p1 (n) 10.0.0.11
    host h2 port p2 (n) 10.0.0.12
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/24
    network n at h2 192.0.2.2
    neighbours n p1 10.0.0.11 at h2 192.0.2.2
    neighbours n p2 10.0.0.12 at h2 192.0.2.2
    """,
)

READDRESSED = _state(
    "the host has another tunnel address, the port another IP address",
    [replaced(_H1, vtep_addresses=("192.0.2.9", "192.0.2.1")), _N, a_port("p1", "n", "h1", "10.0.0.99")],
    """
    host h1 host host-h1: 192.0.2.9 192.0.2.1
    host h1 port p1 (n) 10.0.0.99
    network n vxlan 100 1450
    network n at h1 192.0.2.9
    neighbours n p1 10.0.0.99 at h1 192.0.2.9
    """,
)

REMADE = _state(
    "another host of the same name",
    [a_host("h3", "192.0.2.3", name="host-h1"), _N, _S, _P1],
    """
    host h3 host host-h1: 192.0.2.3
    host h3 port p1 (n) 10.0.0.11
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/24
    network n at h3 192.0.2.3
    neighbours n p1 10.0.0.11 at h3 192.0.2.3
    """,
)

HOST_GONE = _state(
    "the ports' host is not there",
    [_H2, _N, _S, _P1, _P2],
    """
    host h2 host host-h2: 192.0.2.2
    host h2 port p2 (n) 10.0.0.12
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/24
    network n at h2 192.0.2.2
    neighbours n p2 10.0.0.12 at h2 192.0.2.2
    """,
)

UNREACHABLE = _state(
    "a host without a tunnel address",
    [replaced(_H1, vtep_addresses=()), _N, _P1],
    """
    host h1 host host-h1:
    host h1 port p1 (n) 10.0.0.11
    network n vxlan 100 1450
    """,
)

DISABLED = _state(
    "a port and a network that are administratively down",
    [_H1, replaced(_N, admin_state_up=False), replaced(_P1, admin_state_up=False, binding_generation=1)],
    """
    host h1 host host-h1: 192.0.2.1
    host h1 port p1 (n) 10.0.0.11 down
    network n vxlan 100 1450
    network n at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    """,
)

UNBOUND = _state(
    "ports that are unbound or whose binding failed",
    [
        _H1,
        _N,
        replaced(_P1, binding_host_id="", binding_vif_type="unbound"),
        replaced(_P2, binding_vif_type="binding_failed"),
    ],
    "host h1 host host-h1: 192.0.2.1 \n network n vxlan 100 1450",
)

TWO_NETWORKS = _state(
    "the same address in two networks, subnets changed",
    [
        _H1,
        _H2,
        _N,
        _M,
        replaced(_S, cidr="10.0.0.0/16"),
        a_subnet("s6", "m", cidr="2001:db8::/64"),
        _P1,
        _P2,
        _Q1,
    ],
    """
    host h1 host host-h1: 192.0.2.1
    host h2 host host-h2: 192.0.2.2
    host h1 port p1 (n) 10.0.0.11
    host h1 port q1 (m) 10.0.0.11
    host h2 port p2 (n) 10.0.0.12
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/16
    network n at h1 192.0.2.1
    network n at h2 192.0.2.2
    network m vxlan 200 1450
    network m subnet s6 2001:db8::/64
    network m at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    neighbours n p2 10.0.0.12 at h2 192.0.2.2
    neighbours m q1 10.0.0.11 at h1 192.0.2.1
    """,
)

ORPHANS = _state(
    "a port and a subnet whose network is not there",
    [_H1, _S, _P1],
    """
    host h1 host host-h1: 192.0.2.1
    host h1 port p1 (n) 10.0.0.11
    network n subnet s 10.0.0.0/24
    network n at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    """,
)

MOVED_NETWORK = _state(
    "a port and a subnet that changed their network",
    [_H1, _N, _M, replaced(_S, network_id="m"), replaced(_P1, network_id="m")],
    """
    host h1 host host-h1: 192.0.2.1
    host h1 port p1 (m) 10.0.0.11
    network n vxlan 100 1450
    network m vxlan 200 1450
    network m subnet s 10.0.0.0/24
    network m at h1 192.0.2.1
    neighbours m p1 10.0.0.11 at h1 192.0.2.1
    """,
)

SWAPPED = _state(
    "two hosts that swapped their names",
    [replaced(_H1, name="host-h2"), replaced(_H2, name="host-h1"), _N, _P1, _P2],
    """
    host h1 host host-h2: 192.0.2.1
    host h2 host host-h1: 192.0.2.2
    host h2 port p1 (n) 10.0.0.11
    host h1 port p2 (n) 10.0.0.12
    network n vxlan 100 1450
    network n at h1 192.0.2.1
    network n at h2 192.0.2.2
    neighbours n p1 10.0.0.11 at h2 192.0.2.2
    neighbours n p2 10.0.0.12 at h1 192.0.2.1
    """,
)

ALL = (
    EMPTY,
    HOSTS,
    NETWORK,
    PAIR,
    MOVED,
    READDRESSED,
    REMADE,
    HOST_GONE,
    UNREACHABLE,
    DISABLED,
    UNBOUND,
    TWO_NETWORKS,
    ORPHANS,
    MOVED_NETWORK,
    SWAPPED,
)

SEQUENCES: dict[str, tuple[RegionState, ...]] = {
    "build up": (HOSTS, NETWORK, PAIR, TWO_NETWORKS),
    "live migration": (PAIR, MOVED, PAIR, HOST_GONE),
    "a host dies and is made again": (PAIR, HOST_GONE, REMADE, READDRESSED),
    "children outlive parents": (PAIR, ORPHANS, UNBOUND, DISABLED),
    "changes of address": (READDRESSED, UNREACHABLE, PAIR, READDRESSED, REMADE),
    "names pass on": (PAIR, SWAPPED, REMADE, MOVED, SWAPPED),
    "networks change": (PAIR, MOVED_NETWORK, TWO_NETWORKS, ORPHANS, MOVED_NETWORK, NETWORK),
    "up and down": (DISABLED, PAIR, UNBOUND, DISABLED, MOVED, EMPTY, PAIR),
}


@dataclass(frozen=True, slots=True)
class Walk:
    """States to pass one after the other, each step one cut unless `squashed`: then all of it is one cut."""

    name: str
    states: tuple[RegionState, ...]
    squashed: bool = False


def expanded(name: str, states: tuple[RegionState, ...]) -> list[Walk]:
    """A sequence forward, backward, with the region emptied in between, each both step by step and as one cut; and
    each of its states alone."""
    emptied = tuple(state for pair in states for state in (pair, EMPTY))
    ways = {
        "forward": states,
        "reversed": states[::-1],
        "emptied": emptied,
        "reversed and emptied": emptied[::-1],
    }
    walks = [Walk(f"{name}, {way}", walk) for way, walk in ways.items()]
    walks += [Walk(f"{name}, {way}, in one cut", walk, squashed=True) for way, walk in ways.items()]
    return walks + [Walk(f"{name}, alone: {state.name}", (state,)) for state in dict.fromkeys(states)]


def walks() -> list[Walk]:
    """Every expansion of every sequence, each once."""
    found = [walk for name, states in SEQUENCES.items() for walk in expanded(name, states)]
    return list({(walk.states, walk.squashed): walk for walk in found}.values())
