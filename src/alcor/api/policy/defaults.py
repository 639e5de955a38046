"""The default rule of every action and attribute, made from the declarations in `alcor.model`.

Later texts win: what follows from the declaration, the Networking API's own rules, `Resource.policy`.
"""

from collections.abc import Iterable

from alcor.api.policy.networking import NETWORKING
from alcor.model.catalogue import RESOURCES
from alcor.model.resource import Attribute, Resource, Who

ADMIN = "rule:admin_only"
# One's own project may be named by everybody.
_PROJECT = f"{ADMIN} or rule:context_can_set_project_id or rule:owner"
HOSTS_RULE = "get_data_plane_hosts"
DATA_PLANE = {HOSTS_RULE: ADMIN}
"""Who is told the names of hosts that do not have a change, beside how many there are."""
_VERBS = ("create", "get", "update", "delete")


def action_name(verb: str, resource: Resource, *parts: str) -> str:
    """The rule of an action, as operators know it: "create_port", "create_port:fixed_ips:ip_address".

    A sub-resource's has its parent's name in it ("get_policy_bandwidth_limit_rule"). `verb` may be an action.
    """
    return ":".join((f"{verb}_{rule_noun(resource)}", *parts))


def rule_noun(resource: Resource) -> str:
    """How rules call a resource: its key in bodies, after its parent's; a view is asked about as what it shows."""
    if resource.view_of:
        viewed = next((one for one in RESOURCES if one.name == resource.view_of), None)
        return rule_noun(viewed) if viewed is not None else resource.view_of
    if resource.parent is None:
        return resource.member_key
    above = next((one for one in RESOURCES if one.name == resource.parent.resource), None)
    noun = above.member_key if above is not None else resource.parent.resource
    return f"{noun}_{resource.member_key}"


def default_rules(resources: Iterable[Resource] = RESOURCES) -> dict[str, str]:
    """Rule name → text for every resource; what `Resource.policy` says comes last."""
    rules: dict[str, str] = {}
    for resource in resources:
        rules |= _rules_of(resource)
    return rules


def _rules_of(resource: Resource) -> dict[str, str]:
    rules = {action_name(verb, resource): _action(verb, resource) for verb in _VERBS}
    for attribute in resource.attributes:
        for verb, who in _rights(attribute):
            if who is Who.ADMIN:
                text = _PROJECT if attribute.name == "project_id" and verb != "get" else ADMIN
                rules[action_name(verb, resource, attribute.name)] = text
    for key, text in NETWORKING.get(rule_noun(resource), {}).items():
        if _is_about(key, resource):
            rules[_full_name(key, resource)] = text
    for key, text in resource.policy.items():
        rules[_full_name(key, resource)] = text
    return rules


def _is_about(key: str, resource: Resource) -> bool:
    """Whether the resource has the attribute that a short key names; a key without one is about the resource."""
    verb, _, attribute = key.partition(":")
    if not attribute or verb not in _VERBS:
        return True
    # An attribute's name may have a colon (binding:host_id); a member's follows one (fixed_ips:ip_address).
    return any(a.name == attribute or attribute.startswith(f"{a.name}:") for a in resource.attributes)


def _rights(attribute: Attribute) -> tuple[tuple[str, Who], ...]:
    return ("create", attribute.create), ("update", attribute.update), ("get", attribute.see)


def _action(verb: str, resource: Resource) -> str:
    if resource.parent is not None and resource.attribute("project_id") is None:
        return "rule:admin_or_parent_reader" if verb == "get" else "rule:admin_or_parent_member"
    if resource.attribute("project_id") is None:
        return ADMIN
    if verb != "get":
        return "rule:admin_or_project_member"
    shared = " or rule:shared" if resource.attribute("shared") is not None else ""
    return f"rule:admin_or_project_reader{shared}"


def _full_name(key: str, resource: Resource) -> str:
    """A key of `Resource.policy`: "get", "create:shared", or a rule's whole name."""
    verb, colon, rest = key.partition(":")
    if verb in _VERBS:
        return action_name(verb, resource) + colon + rest
    return key
