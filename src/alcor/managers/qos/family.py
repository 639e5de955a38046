"""QoS's endpoints, and the extensions that are there because of them."""

from alcor.managers.interface import Manager, Service
from alcor.managers.qos import alias, policy, rule, rule_type
from alcor.model.extension import Extension
from alcor.model.qos_policy import QOS_POLICY

_SERVICE = "qos"

_POLICIES = (
    Extension(
        "qos",
        "Quality of Service",
        "Policies say how fast and how urgent the packets of ports and networks are.",
        "2015-06-08T10:00:00-00:00",
    ),
    Extension(
        "qos-default",
        "QoS default policy",
        "New networks of a project have its default policy unless they name another.",
        "2017-041-06T10:00:00-00:00",
    ),
)
_RULES: dict[str, tuple[Extension, ...]] = {
    "bandwidth_limit": (
        Extension(
            "qos-bw-limit-direction",
            "Direction for QoS bandwidth limit rule",
            "A bandwidth limit is for packets that leave a port or for those that reach it.",
            "2017-04-10T10:00:00-00:00",
        ),
    ),
    "dscp_marking": (),
    "minimum_bandwidth": (
        Extension(
            "qos-bw-minimum-ingress",
            "Ingress direction for QoS minimum bandwidth rule",
            "A minimum bandwidth may be for packets that reach a port.",
            "2018-07-09T10:00:00-00:00",
        ),
    ),
    "minimum_packet_rate": (
        Extension(
            "qos-pps-minimum",
            "QoS minimum packet rate rule",
            "Rules for the fewest packets a second.",
            "2021-07-14T10:00:00-00:00",
        ),
    ),
    "packet_rate_limit": (
        Extension(
            "qos-pps",
            "QoS Rule Type Packet per Second Extension",
            "Rules for the most packets a second.",
            "2021-05-12T10:00:00-00:00",
        ),
    ),
}
_TYPES = (
    Extension(
        "qos-rule-type-details",
        "Details of QoS rule types",
        "What the parameters of a type of rules may be.",
        "2017-06-22T10:00:00-00:00",
    ),
    Extension(
        "qos-rule-type-filter",
        "Allow to filter the list of QoS rule types",
        "Lists of rule types say which to show: all there are, or all that are supported.",
        "2022-02-02T10:00:00-00:00",
    ),
)
_ALIASES = (
    Extension(
        "qos-rules-alias",
        "Quality of Service rules alias API",
        "Rules are shown, changed and removed by their own ID alone.",
        "2018-10-07T10:00:00-00:00",
    ),
    Extension(
        "qos-pps-minimum-rule-alias",
        "QoS minimum packet rate rule alias",
        "The same for rules of the fewest packets a second.",
        "2021-10-22T10:00:00-00:00",
    ),
)


def family() -> tuple[Manager | Service, ...]:
    """Policies, their rules, the types of rules, and rules by their own ID."""
    return (
        Manager(
            QOS_POLICY,
            _SERVICE,
            create=policy.create_policies,
            update=policy.update_policy,
            delete=policy.delete_policy,
            computed={"rules": policy.load_rules},
            extensions=_POLICIES,
        ),
        *(rule.manager(type_, _SERVICE, extensions) for type_, extensions in _RULES.items()),
        Service(_SERVICE, rule_type.routes(), _TYPES),
        Service(
            _SERVICE,
            alias.routes("bandwidth_limit", "dscp_marking", "minimum_bandwidth", "minimum_packet_rate"),
            _ALIASES,
        ),
    )
