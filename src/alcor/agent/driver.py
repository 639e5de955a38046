"""What the agent needs of a switch. Drivers: `agent.ovs` (Open vSwitch) and `agent.simulated`.

The supervisor of the switch is systemd or a harness, never the agent: a driver waits for a switch that is
down, and says when one came back.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from alcor.pipeline.flow import Flow, FlowKey, MeterSpec


class SwitchError(Exception):
    """The switch refused or is gone; the text names the message and the switch's reason."""


class RawKey(NamedTuple):
    """A flow of ours found in the switch that no present flow explains; `raw` is the driver's own form."""

    table: int
    priority: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class FlowDiff:
    """What to change: `put` adds or replaces by key, `remove` deletes exactly one flow each."""

    put: Sequence[Flow] = ()
    remove: Sequence[FlowKey | RawKey] = ()
    meters: Sequence[MeterSpec] = ()

    def __bool__(self) -> bool:
        return bool(self.put or self.remove or self.meters)


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


SwitchEvent = Connected | Lost | VifsChanged | PacketIn


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

    async def compare(self, desired: Mapping[FlowKey, Flow], meters: Sequence[MeterSpec]) -> FlowDiff:
        """Read back what is ours in the switch (by cookie) and say what differs; changes nothing."""

    async def apply(self, diff: FlowDiff) -> None:
        """Meters first, then flows in ordered bundles, then a barrier; returns after its reply."""

    async def send_packet(self, data: bytes, out_port: int) -> None:
        """Send a frame out of a port."""

    async def warm_tunnels(self, vteps: Sequence[str]) -> None:
        """Make the underlay's address resolution ready, so that the first tunnelled packet is not lost."""

    async def close(self) -> None:
        """Let go of the switch, leaving all flows as they are."""
