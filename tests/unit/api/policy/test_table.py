"""The rules together: defaults, an operator's file over them, and what is made of the declarations."""

import json
from pathlib import Path

import pytest
import yaml

from alcor.api.app import policy_of
from alcor.api.policy import BASE_RULES, Policy, PolicyError, action_name, default_rules, load_overrides
from alcor.api.policy.networking import NETWORKING
from alcor.api.policy.reference import sample
from alcor.managers.interface import Caller
from alcor.managers.registry import managers
from alcor.model.resource import Attribute, Entity, Parent, Resource, Who
from alcor.model.standard import ID, NAME, PROJECT_ID
from alcor.model.value import Boolean, Integer

ADMIN = Caller("p-admin", True, roles=frozenset({"admin", "member", "reader"}))
MANAGER = Caller("p-1", False, roles=frozenset({"manager", "member", "reader"}))
MEMBER = Caller("p-1", False, roles=frozenset({"member", "reader"}))
READER = Caller("p-1", False, roles=frozenset({"reader"}))
STRANGER = Caller("p-2", False, roles=frozenset({"member", "reader"}))
SERVICE = Caller("p-3", False, roles=frozenset({"service"}))
OWN = {"project_id": "p-1"}
SAMPLE_RESOURCE = Resource(
    "thing",
    "things",
    Entity,
    (
        ID,
        NAME,
        PROJECT_ID,
        Attribute("shared", Boolean(), create=Who.ADMIN, update=Who.ADMIN),
        Attribute("cost", Integer(), see=Who.ADMIN),
    ),
    policy={"delete": "rule:admin_only", "update:name": "role:manager", "wash_thing": "@"},
)
PART = Resource(
    "thing_part", "parts", Entity, (ID,), member="part", parent=Parent("port", "port_id"), prefix="/v2.0"
)
HARDWARE = Resource("machine", "machines", Entity, (ID, NAME))


def write(folder: Path, text: str) -> Path:
    """A policy file."""
    path = folder / "policy.yaml"
    path.write_text(text)
    return path


def test_defaults_follow_from_a_declaration() -> None:
    """Verbs are the project's readers' and members', what only an administrator sets or sees is admin_only."""
    assert default_rules([SAMPLE_RESOURCE]) == {
        "create_thing": "rule:admin_or_project_member",
        "get_thing": "rule:admin_or_project_reader or rule:shared",
        "update_thing": "rule:admin_or_project_member",
        "delete_thing": "rule:admin_only",
        "create_thing:project_id": "rule:admin_only or rule:context_can_set_project_id or rule:owner",
        "create_thing:shared": "rule:admin_only",
        "update_thing:shared": "rule:admin_only",
        "get_thing:cost": "rule:admin_only",
        "update_thing:name": "role:manager",
        "wash_thing": "@",
    }


def test_what_no_project_owns_is_the_operators() -> None:
    """Without a project_id every verb is admin_only."""
    assert set(default_rules([HARDWARE]).values()) == {"rule:admin_only"}


def test_a_part_belongs_to_who_owns_the_whole() -> None:
    """A sub-resource's rules have its parent's name in them and ask for the parent's owner."""
    rules = default_rules([PART])

    assert rules["get_port_part"] == "rule:admin_or_parent_reader"
    assert {rules[f"{verb}_port_part"] for verb in ("create", "update", "delete")} == {
        "rule:admin_or_parent_member"
    }
    assert action_name("create", PART, "name") == "create_port_part:name"
    assert Policy.of(rules).allows("delete_port_part", MEMBER, {"ext_parent:project_id": "p-1"})
    assert not Policy.of(rules).allows("delete_port_part", READER, {"ext_parent:project_id": "p-1"})


def test_every_default_of_the_region_compiles() -> None:
    """The named rules, the declarations' and all of the Networking API's refer to nothing that is not there."""
    every = {f"{noun}/{key}": text for noun, texts in NETWORKING.items() for key, text in texts.items()}

    policy = Policy.of({**default_rules(), **every})

    assert all(name in policy for name in [*BASE_RULES, *default_rules(), *every])


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ("get_subnet", {"admin", "manager", "member", "reader", "service"}),
        ("update_subnet", {"admin", "manager", "member"}),
        ("create_security_group", {"admin", "manager", "member"}),
        ("get_host", {"admin"}),
        ("create_host", {"admin"}),
        ("create_network:shared", {"admin"}),
        ("get_network:provider:segmentation_id", {"admin"}),
    ],
)
def test_who_may_do_what_by_default(rule: str, allowed: set[str]) -> None:
    """The roles of the reference server's 2026.1 release, on what the project owns."""
    policy = Policy.of(default_rules())
    callers = {
        "admin": ADMIN,
        "manager": MANAGER,
        "member": MEMBER,
        "reader": READER,
        "stranger": STRANGER,
        "service": SERVICE,
    }

    assert {name for name, caller in callers.items() if policy.allows(rule, caller, OWN)} == allowed


def test_a_project_names_itself_as_owner_only() -> None:
    """`project_id` on create: one's own for everybody, another one's for administrators, or as the file says."""
    rule = "create_network:project_id"
    usual = Policy.of(default_rules())
    opened = Policy.of(default_rules(), {"context_can_set_project_id": "role:manager"})
    other = {"project_id": "p-2"}

    assert usual.allows(rule, MEMBER, OWN)
    assert not usual.allows(rule, MEMBER, other)
    assert usual.allows(rule, ADMIN, other)
    assert opened.allows(rule, MANAGER, other)
    assert not opened.allows(rule, MEMBER, other)


def test_a_rule_that_is_not_there_is_the_rule_default() -> None:
    """An unknown name never raises; the rule `default` answers, also an operator's."""
    policy = Policy.of({}, {"default": "role:manager"})

    assert "get_nonsense" not in policy
    assert policy.rule("get_nonsense").name == "default"
    assert policy.allows("get_nonsense", MANAGER, {})
    assert not policy.allows("get_nonsense", ADMIN, {})


def test_a_file_replaces_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    """Rules that refer to a replaced one mean the new one; others stay; YAML and JSON are read alike."""
    texts = {"context_is_admin": "role:admin or role:operator", "get_thing": ""}
    operator = Caller("p-9", False, roles=frozenset({"operator"}))
    for text in (yaml.safe_dump(texts), json.dumps(texts)):
        policy = Policy.of(default_rules([SAMPLE_RESOURCE]), load_overrides(write(tmp_path, text)))

        assert policy.allows("create_thing", operator, {})
        assert policy.allows("get_thing", STRANGER, OWN)
        assert policy.rule("get_thing").text == ""
        assert not policy.allows("update_thing", STRANGER, OWN)


def test_the_list_form_of_old_files(tmp_path: Path) -> None:
    """The outer list is joined by `or`, the inner ones by `and`; empty: everybody; only empty ones: nobody."""
    path = write(
        tmp_path,
        '{"a": [["role:admin"], ["role:member", "project_id:%(project_id)s"]], "b": [], "c": [[]], '
        '"d": ["role:reader"]}',
    )
    policy = Policy.of({}, load_overrides(path))

    assert policy.allows("a", ADMIN, {})
    assert policy.allows("a", MEMBER, OWN)
    assert not policy.allows("a", STRANGER, OWN)
    assert policy.allows("b", Caller("", False), {})
    assert not policy.allows("c", ADMIN, {})
    assert policy.allows("d", READER, {})


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    """A file of comments, such as the sample, is no rule."""
    assert load_overrides(write(tmp_path, "# nothing\n")) == {}
    assert load_overrides(write(tmp_path, sample())) == {}


def test_the_sample_is_the_defaults(tmp_path: Path) -> None:
    """With its comment signs taken off, the sample gives every rule its own text."""
    lines = [line.removeprefix("#") for line in sample().splitlines() if line.startswith('#"')]

    texts = load_overrides(write(tmp_path, "\n".join(lines)))

    policy = policy_of(managers())
    assert len(texts) > 100
    assert texts == {name: policy.rule(name).text for name in texts}
    assert "default" in texts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[role:admin]", "it must be a mapping of rule names to rules"),
        ("a: [", "it cannot be read: while parsing"),
        ("a: '@'\nb: '!'\na: '!'", "it cannot be read: 'a' is there twice in"),
        ("1: '@'", "'1' is not the name of a rule"),
        ("a: 7", "rule 'a': a rule is a text or a list"),
        ("a:", "rule 'a': a rule is a text or a list"),
        ("a: role:x role:y", "rule 'a': 'and' or 'or' is missing before 'role:y'"),
        ("a: [[7]]", "rule 'a': a rule in list form is a list of lists of checks"),
        ("a: [{}]", "rule 'a': a rule in list form is a list of lists of checks"),
        ("a: !!python/object:os.system {}", "it cannot be read"),
        ("a: \0", "it cannot be read"),
        ("#" * 1_000_001, "it is larger than 1000000 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    """The error names the file, the rule and the reason."""
    path = write(tmp_path, text)
    with pytest.raises(PolicyError) as error:
        load_overrides(path)

    assert str(error.value).startswith(f"{path}: {reason}")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A missing file is an error, not the defaults."""
    with pytest.raises(PolicyError, match="it cannot be read: No such file"):
        load_overrides(tmp_path / "policy.yaml")


def test_what_a_file_refers_to_is_checked_with_its_name(tmp_path: Path) -> None:
    """A rule of the file that names one that is not there is refused with the file's name."""
    overrides = load_overrides(write(tmp_path, "get_thing: rule:frends"))
    with pytest.raises(PolicyError) as error:
        Policy.of(default_rules([SAMPLE_RESOURCE]), overrides, source="/etc/alcor/policy.yaml")

    assert str(error.value) == "/etc/alcor/policy.yaml: rule 'get_thing': there is no rule 'frends'"


def test_rules_that_nothing_asks_for_are_told() -> None:
    """A typing error in a rule's name protects nothing: it is told apart from a rule that others are made of."""
    policy = Policy.of(
        default_rules([SAMPLE_RESOURCE]),
        {"get_thing": "(rule:friends)", "friends": "role:friend", "get_thin": "!", "owner": "!"},
    )

    assert policy.unused == {"get_thin"}


def test_callers_who_stand_alike_are_known_alike() -> None:
    """`standing` is equal where no rule tells callers apart without a target; a rule about one user does."""
    twin = Caller("p-7", False, roles=MEMBER.roles, user_id="u-7")
    usual = Policy.of(default_rules())
    personal = Policy.of(default_rules(), {"get_host": "user_id:u-7"})

    assert usual.standing(MEMBER) == usual.standing(twin)
    assert usual.standing(MEMBER) != usual.standing(READER)
    assert personal.standing(MEMBER) != personal.standing(twin)
    assert personal.rule("get_host").known(twin) is True
    assert personal.rule("get_host").known(MEMBER) is False
