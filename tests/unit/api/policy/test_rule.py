"""One rule: what its text means, against callers and targets."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.api.policy import Policy, PolicyError, Rule
from alcor.managers.interface import Caller

ADMIN = Caller("p-admin", True, roles=frozenset({"admin", "member", "reader"}), user_id="u-admin")
MEMBER = Caller(
    "p-1",
    False,
    roles=frozenset({"member", "reader"}),
    user_id="u-1",
    user_name="Ada",
    project_name="one",
    domain_id="d-1",
)
NOBODY = Caller("", False)
SERVICE = Caller("p-1", False, roles=frozenset({"member"}), service_roles=frozenset({"service"}))


def rule(text: str, **others: str) -> Rule:
    """A rule of this text among the named ones."""
    return Policy.of({"tested": text, **others}).rule("tested")


def allows(text: str, caller: Caller, target: Mapping[str, Any] | None = None) -> bool:
    """The answer of a rule of this text."""
    return rule(text).allows(caller, target or {})


@pytest.mark.parametrize(
    ("text", "caller", "target", "answer"),
    [
        ("", NOBODY, {}, True),
        ("@", NOBODY, {}, True),
        ("!", ADMIN, {}, False),
        ("role:member", MEMBER, {}, True),
        ("role:MEMBER", MEMBER, {}, True),
        ("role:admin", MEMBER, {}, False),
        ("role:%(wanted)s", MEMBER, {"wanted": "Member"}, True),
        ("role:%(wanted)s", MEMBER, {}, False),
        ("rule:admin_only", ADMIN, {}, True),
        ("rule:admin_only", MEMBER, {}, False),
        ("project_id:%(project_id)s", MEMBER, {"project_id": "p-1"}, True),
        ("project_id:%(project_id)s", MEMBER, {"project_id": "p-2"}, False),
        ("project_id:%(project_id)s", MEMBER, {}, False),
        ("project_id:%(project_id)s", MEMBER, {"project_id": None}, False),
        ("project_id:p-1", MEMBER, {}, True),
        ("tenant_id:%(tenant_id)s", MEMBER, {"project_id": "p-1"}, True),
        ("project_id:%(project_id)s", MEMBER, {"tenant_id": "p-1"}, True),
        ("tenant_id:%(network:tenant_id)s", MEMBER, {"network:project_id": "p-1"}, True),
        ("tenant_id:%(network_tenant_id)s", MEMBER, {"network:project_id": "p-1"}, True),
        ("rule:network_owner", MEMBER, {"network:project_id": "p-2", "project_id": "p-1"}, False),
        ("rule:ext_parent_owner", MEMBER, {"ext_parent:project_id": "p-1"}, True),
        ("rule:sg_owner", MEMBER, {"security_group:project_id": "p-1"}, True),
        ("user_id:%(user_id)s", MEMBER, {"user_id": "u-1"}, True),
        ("user_name:Ada", MEMBER, {}, True),
        ("project_name:one", MEMBER, {}, True),
        ("project_domain_id:d-1", MEMBER, {}, True),
        ("user_id:u-%(number)s", MEMBER, {"number": 1}, True),
        ("user_id:u-%(number)s", MEMBER, {}, False),
        ("is_admin:True", ADMIN, {}, True),
        ("is_admin:True", MEMBER, {}, False),
        ("is_admin:False", MEMBER, {}, True),
        ("roles:member", MEMBER, {}, True),
        ("service_roles:service", SERVICE, {}, True),
        ("service_roles:service", MEMBER, {}, False),
        ("role:service", SERVICE, {}, False),
        ("system_scope:all", ADMIN, {}, False),
        ("domain_id:d-1", MEMBER, {}, False),
        ("'compute:nova':%(device_owner)s", MEMBER, {"device_owner": "compute:nova"}, True),
        ("'compute:nova':%(device_owner)s", MEMBER, {"device_owner": "network:dhcp"}, False),
        ("'compute:nova':%(device_owner)s", MEMBER, {}, False),
        ("True:%(shared)s", MEMBER, {"shared": True}, True),
        ("7:%(vlan)s", MEMBER, {"vlan": 7}, True),
        ("'50%':%(share)s%%", MEMBER, {"share": 50}, True),
        ("field:networks:shared=True", MEMBER, {"shared": True}, True),
        ("field:networks:shared=true", MEMBER, {"shared": True}, True),
        ("field:networks:shared=False", MEMBER, {"shared": False}, True),
        ("field:networks:shared=True", MEMBER, {"shared": False}, False),
        ("field:networks:shared=True", MEMBER, {}, False),
        ("field:networks:shared=True", MEMBER, {"network:shared": True}, True),
        ("field:networks:shared=True", MEMBER, {"shared": False, "network:shared": True}, False),
        ("field:networks:router:external=True", MEMBER, {"router:external": True}, True),
        ("field:subnets:router:external=True", MEMBER, {"network:router:external": True}, True),
        ("field:ports:device_id=x", MEMBER, {"device_id": "x"}, True),
        ("field:networks:vlan=7", MEMBER, {"vlan": 7}, True),
        ("rule:network_device", MEMBER, {"device_owner": "network:dhcp"}, True),
        ("rule:network_device", MEMBER, {"device_owner": "a network:dhcp"}, False),
        ("rule:network_device", MEMBER, {"device_owner": None}, False),
        ("rule:restrict_wildcard", MEMBER, {"target_tenant": "*"}, False),
        ("rule:restrict_wildcard", MEMBER, {"target_project": "*"}, False),
        ("not field:rbac_policy:target_project=*", MEMBER, {"target_tenant": "*"}, False),
        ("rule:restrict_wildcard", MEMBER, {"target_tenant": "p-2"}, True),
        ("rule:restrict_wildcard", ADMIN, {"target_tenant": "*"}, True),
    ],
)
def test_a_check_means_what_operators_know(
    text: str, caller: Caller, target: Mapping[str, Any], answer: bool
) -> None:
    """Each kind of check, with a caller and a target that pass it and ones that do not."""
    assert allows(text, caller, target) is answer


@pytest.mark.parametrize("text", ["project_id:%(project_id)s", "user_id:%(user_id)s", "rule:admin_or_owner"])
def test_who_is_nobody_owns_nothing(text: str) -> None:
    """A caller without a project does not own what has no project."""
    assert not allows(text, NOBODY, {"project_id": "", "user_id": ""})


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("@ and !", False),
        ("@ or !", True),
        ("! or @ and !", False),
        ("@ or @ and !", True),
        ("(@ or @) and !", False),
        ("not ! and @", True),
        ("not @ or @", True),
        ("not (@ or @)", False),
        ("not not @", True),
        ("@ AND @ Or !", True),
        ("((@))", True),
        ("( @ and ( ! or @ ) )", True),
        ("! or ! or @", True),
        ("@ and @ and !", False),
    ],
)
def test_words_join_checks_as_in_python(text: str, answer: bool) -> None:
    """`not` binds closer than `and`, `and` closer than `or`; capitals do not matter."""
    assert allows(text, NOBODY) is answer


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@ @", "'and' or 'or' is missing before '@'"),
        ("@ and", "a check is missing at the end"),
        ("or @", "a check is missing before 'or'"),
        ("not", "a check is missing at the end"),
        ("(@", "a ')' is missing"),
        ("@)", "'and' or 'or' is missing before ')'"),
        ("()", "a ')' is where a check should be"),
        ("admin", "'admin' is not a check; write kind:match"),
        ("role:", "'role:' is not a check"),
        (":x", "':x' is not a check"),
        ("'@'", "is not a check"),
        ("rule:nothing", "there is no rule 'nothing'"),
        ("colour:blue", "'colour:' is not a check; there are field, is_admin, project_domain_id"),
        ("user_id:%(user_id)", "has a '%' that does not begin %(field)s"),
        ("user_id:%s", "has a '%' that does not begin %(field)s"),
        ("field:networks", "is not field:collection:attribute=value"),
        ("field:networks:shared", "is not field:collection:attribute=value"),
        ("field:port:device_owner=~[", "has a pattern that cannot be read"),
        ("http://elsewhere/check", "asks another server"),
        ("is_admin_project:True", "'is_admin_project:' is not a check"),
        ("(" * 60 + "@" + ")" * 60, "nested deeper than 50"),
        ("not " * 60 + "@", "nested deeper than 50"),
        ("@ or " * 3_000 + "@", "longer than 10000 characters"),
        ("rule:tested", "it needs itself: tested → tested"),
    ],
)
def test_what_cannot_be_read_is_refused_at_load(text: str, reason: str) -> None:
    """An error names where the rule is from, the rule and the reason; it never becomes an answer."""
    with pytest.raises(PolicyError) as error:
        rule(text)

    assert str(error.value).startswith("built-in defaults: rule 'tested': ")
    assert reason in str(error.value)


def test_a_circle_of_rules_is_refused() -> None:
    """Rules that need each other are named in order."""
    with pytest.raises(PolicyError, match="it needs itself: a → b → c → a"):
        Policy.of({"a": "role:x or rule:b", "b": "not rule:c", "c": "@ and rule:a"})


def test_a_chain_of_rules_is_bounded() -> None:
    """A chain of more than fifty rules is refused, not a crash."""
    chain = {f"r{number}": f"rule:r{number + 1}" for number in range(2_000)} | {"r2000": "@"}
    with pytest.raises(PolicyError, match="chain of more than 50"):
        Policy.of(chain)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("@", set()),
        ("role:member and is_admin:True", set()),
        ("project_id:p-1", set()),
        ("rule:admin_or_owner", {"project_id"}),
        ("tenant_id:%(tenant_id)s", {"project_id"}),
        ("rule:admin_or_network_owner or rule:owner", {"network:project_id", "project_id"}),
        ("not rule:network_device", {"device_owner"}),
        ("rule:shared", {"shared", "network:shared"}),
        ("'x':%(name)s", {"name"}),
    ],
)
def test_a_rule_knows_what_it_asks_of_the_target(text: str, fields: set[str]) -> None:
    """`fields` says what the target must hold, through every rule it refers to."""
    found = rule(text)

    assert found.fields == fields


@pytest.mark.parametrize(
    ("text", "caller", "known"),
    [
        ("rule:admin_only", ADMIN, True),
        ("rule:admin_only", MEMBER, False),
        ("rule:admin_or_owner", ADMIN, True),
        ("rule:admin_or_owner", MEMBER, None),
        ("role:manager and rule:owner", MEMBER, False),
        ("role:member and rule:owner", MEMBER, None),
        ("not (role:member or rule:owner)", MEMBER, False),
        ("not rule:owner", MEMBER, None),
        ("rule:owner or not rule:owner or @", NOBODY, True),
    ],
)
def test_what_no_target_can_change_is_known_without_one(
    text: str, caller: Caller, known: bool | None
) -> None:
    """`known` answers where the target makes no difference to this caller, else it says that it does not know."""
    assert rule(text).known(caller) is known


# A text with the function it should be: built side by side, so that neither is made from the other.
LEAVES = [
    ("@", lambda caller, target: True),
    ("!", lambda caller, target: False),
    ("role:member", lambda caller, target: "member" in caller.roles),
    ("role:admin", lambda caller, target: "admin" in caller.roles),
    ("is_admin:True", lambda caller, target: caller.is_admin),
    ("rule:owner", lambda caller, target: "" != caller.project_id == target.get("project_id")),
    ("field:x:shared=True", lambda caller, target: target.get("shared") is True),
]


def _negated(one: Any) -> Any:
    return f"not ({one[0]})", lambda caller, target: not one[1](caller, target)


def _both(pair: Any) -> Any:
    (a, f), (b, g) = pair
    return f"({a}) and ({b})", lambda caller, target: f(caller, target) and g(caller, target)


def _either(pair: Any) -> Any:
    (a, f), (b, g) = pair
    return f"({a} or {b})", lambda caller, target: f(caller, target) or g(caller, target)


RULES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        inner.map(_negated), st.tuples(inner, inner).map(_both), st.tuples(inner, inner).map(_either)
    ),
    max_leaves=12,
)
TARGETS = st.fixed_dictionaries(
    {}, optional={"project_id": st.sampled_from(["", "p-1", "p-2"]), "shared": st.booleans()}
)


@given(RULES, st.sampled_from([ADMIN, MEMBER, NOBODY, SERVICE]), TARGETS)
def test_any_rule_is_the_function_it_reads_as(made: Any, caller: Caller, target: dict[str, Any]) -> None:
    """A compiled rule gives the answer of the expression; what is known without a target is never another answer."""
    text, meant = made
    compiled = rule(text)
    answer = compiled.allows(caller, target)

    assert answer is meant(caller, target)
    assert compiled.known(caller) in (None, answer)
    if not compiled.fields:
        assert compiled.known(caller) is answer


@given(st.text(alphabet="()@! andornt:%sx'\"~=roleu", max_size=60))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    """No text makes the compiler fail otherwise than by refusing."""
    try:
        compiled = rule(text)
    except PolicyError:
        return

    assert isinstance(compiled.allows(MEMBER, {}), bool)
