"""What is known of ports that live here and that the region does not know: enough to import them again.

It is kept in the switch's own database, in the names of numbers, so that an agent that starts again while a hold lasts
still knows it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from alcor.goalstate.item import LocalPort

_NAME = "orphan:"
_JSON = msgspec.json.Encoder(order="deterministic")


class Orphan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A living port. All but the id is empty if nothing is known of it. `groups`: None is unknown."""

    port_id: str
    network_id: str = ""
    name: str = ""
    mac_address: str = ""
    ip_addresses: tuple[str, ...] = ()
    project_id: str = ""
    device_id: str = ""
    security_groups: tuple[str, ...] | None = None
    port_security_enabled: bool = True
    admin_state_up: bool = True


def orphan_of(port: LocalPort) -> Orphan:
    """What is to be remembered of a port."""
    return Orphan(
        port_id=port.id,
        network_id=port.network_id,
        name=port.name,
        mac_address=port.mac,
        ip_addresses=tuple([address.ip for address in port.addresses]),
        project_id=port.project_id,
        device_id=port.device_id,
        security_groups=port.groups,
        port_security_enabled=port.port_security_enabled,
        admin_state_up=port.admin_state_up,
    )


@dataclass(slots=True)
class Orphans:
    """Facts by port id, and what the switch's database has of them. Cost: O(facts)."""

    facts: dict[str, Orphan] = field(default_factory=dict)
    _kept: dict[str, int] = field(default_factory=dict)

    def of(self, ids: Iterable[str]) -> list[Orphan]:
        """What is known of these ports, in the order of their ids."""
        return [self.facts.get(id, Orphan(port_id=id)) for id in sorted(ids)]

    def load(self, kept: Mapping[str, int]) -> None:
        """Adopt what the database has, where nothing newer is known."""
        self._kept = {name: number for name, number in kept.items() if name.startswith(_NAME)}
        for name in self._kept:
            orphan = msgspec.json.decode(name.removeprefix(_NAME), type=Orphan)
            self.facts.setdefault(orphan.port_id, orphan)

    def to_keep(self) -> tuple[dict[str, int], list[str]]:
        """What is to be put into the database, and the names to remove. Say `kept` when that is done."""
        wanted = {_NAME + _JSON.encode(fact).decode() for fact in self.facts.values()}
        return dict.fromkeys(wanted - self._kept.keys(), 1), sorted(self._kept.keys() - wanted)

    def kept(self, put: Mapping[str, int], removed: Iterable[str]) -> None:
        """The database has it."""
        for name in removed:
            self._kept.pop(name, None)
        self._kept |= put
