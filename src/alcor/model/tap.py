"""Taps: copies of a port's packets, to another port of the project or to an address outside.

Source: Networking API v2.0, "Tap as a Service"; extensions taas, taas-vlan-filter, tap-mirror,
tap-mirror-both-direction.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import DESCRIPTION, ID, NAME, PROJECT_ID
from alcor.model.value import IP, Choice, Integer, Nullable, Parsed, Schema, Text, Uuid

PREFIX = "/v2.0/taas"
_DIRECTIONS = ("IN", "OUT", "BOTH")
# Source: RFC 2890, section 2: the key of a GRE packet.
_TUNNEL = Integer(0, 2**32 - 1)
_VLANS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*\Z", re.ASCII)
_VLANS_CHARS_MAX = 1_024


class TapService(Entity, frozen=True, kw_only=True, gc=False):
    """A port that gets copies."""

    port_id: str


class TapFlow(Entity, frozen=True, kw_only=True, gc=False):
    """A port whose packets are copied to a tap service. `direction` is seen from the port."""

    tap_service_id: str
    source_port: str
    direction: str
    vlan_filter: str | None = None


class TapMirror(Entity, frozen=True, kw_only=True, gc=False):
    """A port whose packets are copied to `remote_ip` in tunnels; `directions`: which packets → the tunnel's number."""

    port_id: str
    directions: dict[str, int]
    remote_ip: str
    mirror_type: str


def parse_vlans(text: str) -> str:
    """Numbers and ranges with commas between: `9,18,27-36`. Raises: ValueError."""
    if len(text) > _VLANS_CHARS_MAX or not _VLANS.match(text):
        raise ValueError(f"'{text[:64]}' is not a list of VLANs such as 9,18,27-36")
    return text


@dataclass(frozen=True, slots=True)
class Directions:
    """`{"IN": 99, "OUT": 100}`, or `BOTH`: the number of the tunnel for each. What is null is left out."""

    def parse(self, value: object) -> dict[str, int]:
        if not isinstance(value, Mapping):
            raise ValueError(f"'{value}' is not a dictionary")
        unknown = sorted(str(name) for name in value if name not in _DIRECTIONS)
        if unknown:
            raise ValueError(f"unexpected keys {unknown} in '{dict(value)}': there are {list(_DIRECTIONS)}")
        return {name: _TUNNEL.parse(one) for name, one in value.items() if one is not None}

    def schema(self) -> Schema:
        number = Nullable(_TUNNEL).schema()
        return {
            "type": "object",
            "properties": dict.fromkeys(_DIRECTIONS, number),
            "additionalProperties": False,
        }


def _fixed(name: str, type_: Any, text: str, **more: Any) -> Attribute:
    """What is said once, on create."""
    return Attribute(name, type_, default=REQUIRED, update=Who.NOBODY, text=text, **more)


_DESCRIBED = (ID, NAME, PROJECT_ID, DESCRIPTION)
_STATUS = Attribute(
    "status",
    Text(),
    create=Who.NOBODY,
    update=Who.NOBODY,
    stored=False,
    derive=lambda _row: "DOWN",
    text="DOWN: hosts of this region copy no packets.",
)
_SEEN = {"get": "rule:admin_or_project_member"}

TAP_SERVICE = Resource(
    name="tap_service",
    collection="tap_services",
    prefix=PREFIX,
    entity=TapService,
    text="A port that gets copies of other ports' packets.",
    columns_shown=("id", "name", "port_id", "status"),
    policy=_SEEN,
    attributes=(
        *_DESCRIBED,
        _fixed("port_id", Uuid(), "The port that gets the copies.", column=True, refers="port"),
        _STATUS,
    ),
)

TAP_FLOW = Resource(
    name="tap_flow",
    collection="tap_flows",
    prefix=PREFIX,
    entity=TapFlow,
    text="A port whose packets are copied to a tap service.",
    columns_shown=("id", "name", "source_port", "tap_service_id", "direction", "status"),
    policy=_SEEN,
    attributes=(
        *_DESCRIBED,
        _fixed("tap_service_id", Uuid(), "Where the copies go.", column=True, refers="tap_service"),
        _fixed("source_port", Uuid(), "The port whose packets are copied.", column=True, refers="port"),
        _fixed("direction", Choice(_DIRECTIONS), "Packets that reach the port, that leave it, or both."),
        Attribute(
            "vlan_filter",
            Nullable(Parsed(parse_vlans, "VLAN list")),
            default=None,
            update=Who.NOBODY,
            text="The VLANs whose packets are copied, such as `9,18,27-36`; null: all.",
        ),
        _STATUS,
    ),
)

TAP_MIRROR = Resource(
    name="tap_mirror",
    collection="tap_mirrors",
    prefix=PREFIX,
    entity=TapMirror,
    text="A port whose packets are copied to an address outside.",
    columns_shown=("id", "name", "port_id", "remote_ip", "mirror_type"),
    attributes=(
        *_DESCRIBED,
        _fixed("port_id", Uuid(), "The port whose packets are copied.", column=True, refers="port"),
        _fixed(
            "directions",
            Directions(),
            "IN, OUT or BOTH, each with the number of its tunnel.",
            filters=False,
            sorts=False,
        ),
        _fixed("remote_ip", IP, "Where the copies go."),
        _fixed("mirror_type", Choice(("erspanv1", "gre")), "How copies are packed."),
    ),
)

TAPS = (TAP_SERVICE, TAP_FLOW, TAP_MIRROR)
