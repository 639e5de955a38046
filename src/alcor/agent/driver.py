"""What the agent needs of a switch. Drivers: `agent.ovs` (Open vSwitch) and `agent.simulated`.

The supervisor of the switch is systemd or a harness, never the agent: a driver waits for a switch that is
down, and says when one came back.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from alcor.model.address import Ip
from alcor.pipeline.flow import Flow, FlowKey, GroupSpec, MeterSpec, SetField
from alcor.pipeline.tables import UnitKind


class SwitchError(Exception):
    """The switch refused or is gone; the text names the message and the switch's reason."""


class FlowsRefused(SwitchError):
    """The switch will not have these flows, while it takes others: `keys`, not empty; there may be more."""

    def __init__(self, text: str, keys: Sequence[FlowKey]) -> None:
        super().__init__(text)
        self.keys = tuple(keys)


class RawKey(NamedTuple):
    """A flow of ours found in the switch that no present flow explains; `raw` is the driver's own form."""

    table: int
    priority: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class FlowDiff:
    """What to change: `put` adds or replaces by key, `remove` deletes exactly one flow each.

    `meters` and `groups` are added, or changed in place; `…_removed` are numbers of what nobody wants any more. To
    delete a meter or group that a flow still uses deletes that flow.
    """

    put: Sequence[Flow] = ()
    remove: Sequence[FlowKey | RawKey] = ()
    meters: Sequence[MeterSpec] = ()
    groups: Sequence[GroupSpec] = ()
    meters_removed: Sequence[int] = ()
    groups_removed: Sequence[int] = ()

    def __bool__(self) -> bool:
        return bool(
            self.put
            or self.remove
            or self.meters
            or self.groups
            or self.meters_removed
            or self.groups_removed
        )

    def without_removals(self) -> "FlowDiff":
        """Only what adds or changes."""
        return FlowDiff(self.put, (), self.meters, self.groups)


@dataclass(frozen=True, slots=True)
class Connected:
    """The switch is there (at start, or again after it was gone). Its flows may be any: compare."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The switch is gone; the driver goes on trying to reach it."""

    reason: str


@dataclass(frozen=True, slots=True)
class VifsChanged:
    """The plugged interfaces: `external_ids:iface-id` → OpenFlow port number (> 0)."""

    ofports: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PacketIn:
    """A punted packet. `fields`: pipeline fields by name as in `pipeline.flow.Field` (reg14, metadata …)."""

    in_port: int
    table: int
    data: bytes
    fields: Mapping[str, int] = field(default_factory=dict)


class Resumed(NamedTuple):
    """A punted packet that is to go on: in `table`, with `fields` (registers, metadata, in_port) as they were."""

    data: bytes
    table: int
    fields: tuple[SetField, ...]


@dataclass(frozen=True, slots=True)
class TunnelHealth:
    """Whether a VTEP that a `TunnelPort` watches can be reached, when that changes (and first when it is known).

    `was_up`: of one that is not, whether the switch has ever reached it since it began to watch.
    """

    vtep: Ip
    is_up: bool
    was_up: bool = True


SwitchEvent = Connected | Lost | VifsChanged | PacketIn | TunnelHealth


@dataclass(frozen=True, slots=True)
class InternalPort:
    """A port whose other end is a network device of this host (the metadata service's `md0`)."""

    name: str
    mac: str | None = None


@dataclass(frozen=True, slots=True)
class PatchPort:
    """A cable to a provider bridge, which must be there: `name` here, `peer` there."""

    name: str
    bridge: str
    peer: str


@dataclass(frozen=True, slots=True)
class TunnelPort:
    """A tunnel to one VTEP beside the flow-based one of its type, watched by BFD: `TunnelHealth` tells, and a group
    may watch the port. It takes only key 0 (BFD's own packets): tenants' packets come by the flow-based port.
    """

    name: str
    type: str
    remote: Ip
    local: Ip | None = None


PortSpec = InternalPort | PatchPort | TunnelPort


class ConnectionProtocol(Enum):
    """Protocols whose connections can be named by a full tuple. Not ICMPv6: the tuple of an echo of IPv6 ends
    ovs-vswitchd 3.1 (tried, also with ovs-ofctl); those go with their zone.
    """

    ICMP = 1
    TCP = 6
    UDP = 17


class ConnectionTuple(NamedTuple):
    """A connection as its first packet went, before any translation. The switch forgets only what is named in full:
    both addresses, and both ports (for echo: `source_port` is the identifier, `target_port` type and code, type in
    the high byte).
    """

    protocol: ConnectionProtocol
    source: Ip
    target: Ip
    source_port: int = 0
    target_port: int = 0


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """An imaginary packet at a switch. `tunnel_source`, `tun_id`: of one that comes from a tunnel.

    `is_reply`: it belongs to a connection that the other side has opened.
    """

    frame: bytes
    in_port: int
    tunnel_source: str = ""
    tun_id: int = 0
    is_reply: bool = False


class ExitKind(Enum):
    """By what a traced packet left: a port (also a tunnel's), to the agent, or back where it came from."""

    PORT = "port"
    AGENT = "agent"
    BACK = "back"


class TraceExit(NamedTuple):
    """How the packet left. `port`: OpenFlow port; `tunnel_end`: of one that leaves by a tunnel."""

    kind: ExitKind
    port: int = 0
    tunnel_end: str = ""


@dataclass(frozen=True, slots=True)
class SwitchTrace:
    """What a switch would do. `flows`: those that matched, as it prints them. `is_translated`: addresses change on the
    way, which a trace does not follow: what comes behind says little."""

    flows: tuple[str, ...]
    exits: tuple[TraceExit, ...]
    is_translated: bool


class Switch(Protocol):
    """One host's switch. All methods but `events` raise `SwitchError` while the switch is gone."""

    def events(self) -> AsyncIterator[SwitchEvent]:
        """Everything that happens, without end. `Connected` first, then `VifsChanged` with all VIFs."""

    async def load_numbers(self) -> dict[str, int]:
        """The local numbers kept in the switch's database: name (`port:<id>`, `network:<id>`) → number."""

    async def save_numbers(self, put: Mapping[str, int], remove: Sequence[str] = ()) -> None:
        """Keep numbers; returns when they are in the database."""

    async def ensure_tunnels(self, vteps: Sequence[str], types: Sequence[str]) -> dict[str, int]:
        """Have one flow-based tunnel port per network type; returns type → OpenFlow port number.

        `vteps`: this host's addresses on the underlay, at least one; tunnels go to ends of their families.
        """

    async def ensure_ports(self, ports: Sequence[PortSpec]) -> dict[str, int]:
        """Have exactly these ports beside VIFs and flow-based tunnels: make, correct, and remove those that were made
        by an earlier call. Returns name → OpenFlow port number.
        """

    async def compare(
        self,
        desired: Mapping[FlowKey, Flow],
        meters: Sequence[MeterSpec],
        groups: Sequence[GroupSpec] = (),
    ) -> FlowDiff:
        """Read back what is ours in the switch (flows by cookie, meters and groups by number) and say what differs;
        changes nothing.
        """

    async def apply(self, diff: FlowDiff) -> None:
        """Meters and groups first, then flows in ordered bundles, then removals of groups and meters, then a
        barrier; returns after its reply. Raises: FlowsRefused if the refusal is known to be of flows to be put.
        """

    async def flush_conntrack(self, zone: int, connection: ConnectionTuple | None = None) -> None:
        """Forget all connections of a zone, or the one; nothing if it is not there."""

    async def flush_zones(self, zones: Sequence[int]) -> None:
        """Forget all connections of zones, in one go."""

    async def dump_conntrack(self, zone: int) -> list[str]:
        """The connections of a zone, one line each, for people."""

    async def trace(self, entry: TraceEntry) -> SwitchTrace:
        """What the switch would do with a packet; changes and sends nothing."""

    async def send_packet(self, data: bytes, out_port: int) -> None:
        """Send a frame out of a port."""

    async def resume_packet(self, packet: Resumed) -> None:
        """Have a punted packet go on through the flows."""

    async def packet_counts(self, kind: UnitKind, network_key: int = 0) -> dict[int, int]:
        """How many packets have met the flows of each unit of a kind: cookie → number; may be a second old.

        `network_key`: only flows that match this network. Cost: O(flows of the kind there).
        """

    async def flow_fields(self, kind: UnitKind, table: int) -> list[Mapping[str, int]]:
        """What the flows of a kind in one table match: of each, field name (lower case) → value, masks left out.

        Also of flows that an earlier process put. Cost: O(flows of the kind there).
        """

    async def warm_tunnels(self, vteps: Sequence[str]) -> None:
        """Make the underlay's address resolution ready, so that the first tunnelled packet is not lost."""

    async def close(self) -> None:
        """Let go of the switch, leaving all flows as they are."""
