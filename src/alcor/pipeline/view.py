"""What the pipeline computes from: the host's knowledge (`View`) and its local numbers (`Allocation`).

The view is already *resolved*: a port whose network or neighbours are missing, or older than the reference requires
(`since`), stands in `closed` instead of `ports`. Closed ports get no packets and send none (I10).
"""

from dataclasses import dataclass, field

from alcor.goalstate.item import (
    HostItem,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    RegionItem,
    SubnetItem,
)


@dataclass(slots=True)
class NetworkView:
    """One network as this host knows it. Keys: subnet id, host id, port id."""

    network: NetworkItem
    subnets: dict[str, SubnetItem] = field(default_factory=dict)
    hosts: dict[str, NetworkHost] = field(default_factory=dict)
    neighbours: dict[str, Neighbour] = field(default_factory=dict)


@dataclass(slots=True)
class View:
    """The union of a host's scopes, resolved. Keys: port id, network id."""

    host: HostItem | None = None
    region: RegionItem | None = None
    ports: dict[str, LocalPort] = field(default_factory=dict)
    closed: dict[str, LocalPort] = field(default_factory=dict)
    networks: dict[str, NetworkView] = field(default_factory=dict)


@dataclass(slots=True)
class Allocation:
    """Local numbers: state of the agent, kept in OVSDB before first use (protocol, section 7).

    `port_keys`, `network_keys`: 1 … 2^16-1 and 1 … 2^24-1, never 0. `ofports`: the switch's numbers of the VIFs that
    are plugged now. `tunnels`: network type → ofport of its tunnel port.
    """

    port_keys: dict[str, int] = field(default_factory=dict)
    network_keys: dict[str, int] = field(default_factory=dict)
    ofports: dict[str, int] = field(default_factory=dict)
    tunnels: dict[str, int] = field(default_factory=dict)
