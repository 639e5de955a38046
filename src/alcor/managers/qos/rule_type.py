"""What QoS can do here: `/v2.0/qos/rule-types`.

There is one kind of host, so that what is supported by all and what is supported at all is the same.
"""

from collections.abc import Mapping
from typing import Any

from alcor.managers.interface import Ask, Route
from alcor.model.errors import InvalidInput, NotFound
from alcor.model.qos_policy import PREFIX
from alcor.model.qos_rule import QOS_RULES
from alcor.model.resource import Attribute, Who
from alcor.model.value import Boolean, Choice
from alcor.store.interface import Store

DRIVER = "openvswitch"
"""The name under which operators know what programs the hosts' switch."""

_PATH = f"{PREFIX}/rule-types"
_TYPE = {"type": "string", "enum": list(QOS_RULES)}
_DETAILS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "supported_parameters": {"type": "array", "items": {"type": "object"}},
    },
}


def routes() -> tuple[Route, ...]:
    """The list, for everybody, and a type's details, for administrators."""
    listed = {"type": "array", "items": {"type": "object", "properties": {"type": _TYPE}}}
    shown = {"type": "object", "properties": {"type": _TYPE, "drivers": {"type": "array", "items": _DETAILS}}}
    return (
        Route(
            "GET", _PATH, list_types, "get_rule_type", "rule:admin_only or role:reader", "The types of QoS rules.",
            schema={"type": "object", "properties": {"rule_types": listed}},
        ),
        Route(
            "GET", f"{_PATH}/{{rule_type}}", show_type, "get_rule_type:drivers", "rule:admin_only",
            "One type of QoS rules, and what its parameters may be.",
            schema={"type": "object", "properties": {"rule_type": shown}},
        ),
    )  # fmt: skip


async def list_types(_store: Store, ask: Ask) -> Any:
    """Every type. `all_rules` and `all_supported` are read and narrow nothing. Raises: InvalidInput."""
    for name, value in ask.pairs:
        if name in ("all_rules", "all_supported"):
            _check_flag(name, value)
    wanted = {value for name, value in ask.pairs if name == "type"}
    return {"rule_types": [{"type": type_} for type_ in QOS_RULES if not wanted or type_ in wanted]}


def _check_flag(name: str, text: str) -> None:
    try:
        Boolean().parse(text)
    except ValueError as error:
        raise InvalidInput(str(error), attribute=name) from error


async def show_type(_store: Store, ask: Ask) -> Any:
    """A type with its parameters. Raises: NotFound."""
    type_ = ask.names["rule_type"]
    resource = QOS_RULES.get(type_)
    if resource is None:
        raise NotFound("rule_type", type_)
    parameters = [_parameter(a) for a in resource.attributes if a.update is not Who.NOBODY]
    return {"rule_type": {"type": type_, "drivers": [{"name": DRIVER, "supported_parameters": parameters}]}}


def _parameter(attribute: Attribute) -> dict[str, Any]:
    values: Any
    if isinstance(attribute.type, Choice):
        kind, values = "choices", list(attribute.type.values)
    else:
        schema = attribute.type.schema()
        kind, values = "range", {"start": schema["minimum"], "end": schema["maximum"]}
    return {"parameter_name": attribute.name, "parameter_type": kind, "parameter_values": values}
