"""A flow classifier: which packets a chain of service functions is for.

Source: Networking API v2.0, "Service function chaining"; extension flow_classifier.
"""

from collections.abc import Mapping
from typing import Any

from alcor.model.errors import InvalidInput, Problem
from alcor.model.resource import Attribute, Entity, Resource, Who
from alcor.model.security_group_rule import Converted
from alcor.model.standard import ID, NAME, PROJECT_ID
from alcor.model.value import CIDR, Cleared, Nullable, Text, Uuid

PREFIX = "/v2.0/sfc"
PROTOCOLS = ("tcp", "udp", "icmp")
ETHERTYPES = ("IPv4", "IPv6")
PORT_MAX = 65_535


class FlowClassifier(Entity, frozen=True, kw_only=True, gc=False):
    """Packets that match all that is not None. `logical_source_port`, `logical_destination_port`: where they enter and
    leave the network."""

    ethertype: str = "IPv4"
    protocol: str | None = None
    source_port_range_min: int | None = None
    source_port_range_max: int | None = None
    destination_port_range_min: int | None = None
    destination_port_range_max: int | None = None
    source_ip_prefix: str | None = None
    destination_ip_prefix: str | None = None
    logical_source_port: str | None = None
    logical_destination_port: str | None = None
    l7_parameters: dict[str, Any] = {}


def _parse_protocol(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and value.lower() in PROTOCOLS:
        return value.lower()
    raise InvalidInput(
        f"Flow classifier does not support protocol {value}: there are {', '.join(PROTOCOLS)}.",
        problem=Problem.FC_PROTOCOL,
    )


def _parse_ethertype(value: object) -> str:
    if value is None:
        return ETHERTYPES[0]
    for ethertype in ETHERTYPES:
        if isinstance(value, str) and value.lower() == ethertype.lower():
            return ethertype
    raise InvalidInput(
        f"Flow classifier does not support ethertype {value}: there are {', '.join(ETHERTYPES)}.",
        problem=Problem.FC_ETHERTYPE,
    )


def parse_port(value: object) -> int | None:
    """A port, None for any. Raises: InvalidInput."""
    if value is None:
        return None
    text = "" if isinstance(value, bool) or not isinstance(value, int | str) else str(value)
    if text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= PORT_MAX:
        return int(text)
    raise InvalidInput(
        f"Flow classifier has invalid port value {str(value)[:64]}: ports are 0 through {PORT_MAX}.",
        problem=Problem.FC_PORT,
    )


def _parse_parameters(value: object) -> dict[str, Any]:
    if value is None or (isinstance(value, Mapping) and not value):
        return {}
    raise InvalidInput(
        "Invalid flow classifier parameters: no l7_parameters are supported.", problem=Problem.FC_L7
    )


def _once(name: str, type_: Any, default: Any, text: str, **more: Any) -> Attribute:
    """What is said on create, and stays."""
    return Attribute(name, type_, default=default, update=Who.NOBODY, text=text, **more)


PORT = Converted(
    parse_port, {"type": ["integer", "null"], "minimum": 0, "maximum": PORT_MAX}, "A port; null: any."
)

FLOW_CLASSIFIER = Resource(
    name="flow_classifier",
    collection="flow_classifiers",
    prefix=PREFIX,
    entity=FlowClassifier,
    quota="flow_classifier",
    text="Which packets a chain of service functions is for.",
    columns_shown=("id", "name", "protocol", "source_ip_prefix", "destination_ip_prefix"),
    attributes=(
        ID,
        Attribute(NAME.name, Cleared(Text(255), ""), default="", column=True, text=NAME.text),
        PROJECT_ID,
        Attribute("description", Cleared(Text(255), ""), default="", text="A human-readable description."),
        _once(
            "ethertype",
            Converted(_parse_ethertype, {"type": "string", "enum": list(ETHERTYPES)}, "IPv4 or IPv6."),
            "IPv4",
            "IPv4 or IPv6.",
        ),
        _once(
            "protocol",
            Converted(
                _parse_protocol,
                {"type": ["string", "null"], "enum": [*PROTOCOLS, None]},
                "A protocol; null: any.",
            ),
            None,
            "tcp, udp or icmp; null: any.",
        ),
        *(
            _once(f"{end}_port_range_{limit}", PORT, None, f"The {word} {end} port; null: any.")
            for end in ("source", "destination")
            for limit, word in (("min", "lowest"), ("max", "highest"))
        ),
        _once("source_ip_prefix", Nullable(CIDR), None, "Where packets come from; null: any."),
        _once("destination_ip_prefix", Nullable(CIDR), None, "Where packets go to; null: any."),
        _once(
            "logical_source_port",
            Nullable(Uuid()),
            None,
            "The port by which packets enter the network.",
            column=True,
            refers="port",
        ),
        _once(
            "logical_destination_port",
            Nullable(Uuid()),
            None,
            "The port by which packets leave the network.",
            column=True,
            refers="port",
        ),
        _once(
            "l7_parameters",
            Converted(
                _parse_parameters,
                {"type": ["object", "null"], "properties": {}, "additionalProperties": False},
                "An empty object.",
            ),
            {},
            "Empty: there are none.",
            filters=False,
            sorts=False,
        ),
    ),
)
