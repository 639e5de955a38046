"""A host: a machine with a virtual switch and an agent of ours."""

import re
from collections.abc import Mapping
from typing import Any

from alcor.model.network import PHYSICAL_NETWORK_CHARS_MAX
from alcor.model.resource import REQUIRED, Attribute, Entity, Lookup, Resource, Who
from alcor.model.standard import CREATED_AT, DESCRIPTION, ID, REVISION_NUMBER, UPDATED_AT
from alcor.model.value import IP, MAC, Boolean, Choice, ListOf, Nullable, Schema, Text, Uuid
from alcor.model.view import view_of

IN, DRAINING, OUT = "in", "draining", "out"
HEALTH_STATES = ("UP", "DEGRADED", "DOWN", "DRAINING", "OUT_OF_ROTATION")
SWITCH_GONE = "the switch is gone"
"""How the sentence begins by which an agent says that its switch is not there, or has not confirmed its flows since it
is there again (`HostObservation.detail`)."""
BRIDGE_MAPPINGS_MAX = 64
# A bridge has an interface of its name, which Linux limits to 15 characters without white space and slash.
_BRIDGE = re.compile(r"[^\s/:]{1,15}\Z")


class Host(Entity, frozen=True, kw_only=True, gc=False):
    """One machine. `name` is what `binding:host_id` names; unique in the region.

    `vtep_addresses` are the underlay addresses its tunnels end at, the preferred one first: others send to that. It
    sends to hosts that prefer a family of which it has an address itself.
    `control_address` is where its operator reaches it, `mac_address` that of its underlay interface: inventory.
    `cluster` is its cell, `ncm_id` the network configuration manager that serves it.
    `rotation`: `in`; `draining`, what is on it stays and nothing new comes; `out`, nothing is on it or comes.
    Its agent proves itself by a secret, whose SHA-256 (hex) is `token_digest`, or by a key, if the host has joined:
    `key_digest` is the SHA-256 (hex) of its public key. An empty one proves nothing.
    `gateway`: routers' gateways may be served here. `bridge_mappings`: physical network → the bridge that leads to it.
    """

    vtep_addresses: tuple[str, ...] = ()
    token_digest: str = ""
    key_digest: str = ""
    admin_state_up: bool = True
    availability_zone: str = "nova"
    control_address: str | None = None
    mac_address: str | None = None
    cluster: str = ""
    ncm_id: str | None = None
    rotation: str = IN
    gateway: bool = False
    bridge_mappings: dict[str, str] = {}

    @property
    def takes_work(self) -> bool:
        """Whether ports may be bound to it that were not."""
        return self.admin_state_up and self.rotation == IN


class BridgeMappings:
    """Physical network → bridge, by names; a bridge leads to one physical network.

    In files of text, `physnet1:br-ex physnet2:br-dc`.
    """

    def parse(self, value: object) -> dict[str, str]:
        if value is None:
            return {}
        if isinstance(value, str):
            pairs = [pair.rpartition(":") for pair in value.split()]
            value = {physical_network: bridge for physical_network, _, bridge in pairs}
        if not isinstance(value, Mapping):
            raise ValueError(f"'{value}' is not a dictionary")
        if len(value) > BRIDGE_MAPPINGS_MAX:
            raise ValueError(f"{len(value)} bridge mappings are more than {BRIDGE_MAPPINGS_MAX}")
        found: dict[str, str] = {}
        for physical_network, bridge in sorted(value.items(), key=str):
            Text(PHYSICAL_NETWORK_CHARS_MAX, 1).parse(physical_network)
            if not isinstance(bridge, str) or not _BRIDGE.match(bridge):
                raise ValueError(
                    f"'{bridge}' of physical network '{physical_network}' is not a bridge's name"
                )
            if bridge in found.values():
                raise ValueError(f"bridge '{bridge}' is named for two physical networks; it leads to one")
            found[physical_network] = bridge
        return found

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": True}


def _vtep_rows(row: Any) -> list[tuple[Any, ...]]:
    return [(address,) for address in row.vtep_addresses]


HOST = Resource(
    name="host",
    collection="hosts",
    entity=Host,
    prefix="",
    text="A machine that runs virtual machines and an alcor-agent.",
    columns_shown=("id", "name", "vtep_addresses", "status"),
    lookups=(Lookup("vtep_addresses", ("address",), _vtep_rows),),
    bulk_path=True,
    attributes=(
        ID,
        Attribute(
            "name",
            Text(255, length_min=1),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            text="Its name, unique in the region; ports name it in binding:host_id.",
        ),
        DESCRIPTION,
        Attribute(
            "vtep_addresses",
            ListOf(IP, items_max=8),
            default=REQUIRED,
            sorts=False,
            text="The underlay addresses of its tunnels; others send to the first.",
        ),
        Attribute(
            "admin_state_up",
            Boolean(),
            default=True,
            text="Whether new work may be placed on it; what is there stays.",
        ),
        Attribute("availability_zone", Text(255, 1), default="nova", text="The availability zone it is in."),
        Attribute(
            "control_address",
            Nullable(IP),
            default=None,
            column=True,
            text="The address its operator reaches it by.",
        ),
        Attribute(
            "mac_address",
            Nullable(MAC),
            default=None,
            column=True,
            text="The MAC address of its underlay interface.",
        ),
        Attribute("cluster", Text(255), default="", column=True, text="The cluster (cell) it is in."),
        Attribute(
            "ncm_id",
            Nullable(Uuid()),
            default=None,
            column=True,
            refers="ncm",
            text="The network configuration manager that serves it; null for any.",
        ),
        Attribute(
            "rotation",
            Choice((IN, DRAINING, OUT)),
            default=IN,
            column=True,
            text="`draining`: what is on it stays, nothing new comes; `out`: nothing is on it.",
        ),
        Attribute(
            "gateway",
            Boolean(),
            default=False,
            column=True,
            text="Whether it may serve routers' gateways; it is to reach their external networks.",
        ),
        Attribute(
            "bridge_mappings",
            BridgeMappings(),
            default={},
            filters=False,
            sorts=False,
            text="The bridges that lead to physical networks: name of the network to name of the bridge.",
        ),
        Attribute(
            "health_state",
            Choice(HEALTH_STATES),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            text="UP, DEGRADED (heard, and something is wrong), DOWN (its agent is not heard), DRAINING (nothing "
            "new comes) or OUT_OF_ROTATION.",
        ),
        Attribute(
            "status",
            Text(16),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            text="UP while its agent is heard, else DOWN.",
        ),
        Attribute(
            "token",
            Nullable(Text(128)),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="The agent's secret: in the answer of the create call only.",
        ),
        CREATED_AT,
        UPDATED_AT,
        REVISION_NUMBER,
    ),
)

NODE = view_of(
    HOST,
    "node",
    collection="nodes",
    member="node",
    text="A host, as the original's Node Manager names it. The same rows as /hosts.",
)
