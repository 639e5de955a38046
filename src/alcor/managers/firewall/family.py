"""Firewalls' endpoints, and the extensions that are there because of them."""

from collections.abc import Sequence

from alcor.managers.firewall import default, group, policy, rule
from alcor.managers.interface import Caller, Manager, Rows
from alcor.managers.plain import plain_manager
from alcor.model.extension import Extension
from alcor.model.firewall import FIREWALL_GROUP, FIREWALL_POLICY, FIREWALL_RULE
from alcor.store.interface import Condition

_SERVICE = "firewall"
_EXTENSIONS = (
    Extension(
        "fwaas_v2",
        "FWaaS v2",
        "Firewall rules, policies and groups are kept; hosts do not enforce them yet.",
        "2016-10-06T10:00:00-00:00",
    ),
    Extension(
        "standard-attr-fwaas-v2",
        "Standard Attribute FWaaS v2 Extension",
        "Firewall rules, policies and groups have times and revision numbers.",
        "2023-04-027T01:00:00-00:00",
    ),
)


def family() -> tuple[Manager, ...]:
    """Rules, policies and groups."""
    return (
        plain_manager(
            FIREWALL_RULE,
            _SERVICE,
            check=rule.check_rule,
            computed={"firewall_policy_id": rule.load_policies},
            sight=_shared,
            before_list=default.before_list,
        ),
        plain_manager(
            FIREWALL_POLICY,
            _SERVICE,
            check=policy.check_policy,
            actions={"insert_rule": policy.insert_rule, "remove_rule": policy.remove_rule},
            sight=_shared,
            before_list=default.before_list,
        ),
        Manager(
            FIREWALL_GROUP,
            _SERVICE,
            create=group.create_groups,
            update=group.update_group,
            delete=group.delete_group,
            sight=_shared,
            before_list=default.before_list,
            extensions=_EXTENSIONS,
        ),
    )


async def _shared(_rows: Rows, _caller: Caller) -> Sequence[tuple[Condition, ...]]:
    return ((Condition("shared", (True,)),),)
