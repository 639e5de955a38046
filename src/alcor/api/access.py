"""What the policy lets a caller do with one resource: its verbs, its attributes; row by row where a rule needs that."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from alcor.api.policy import Policy, Rule, action_name
from alcor.managers.interface import Caller, Rows
from alcor.managers.sharing import shared_of
from alcor.model.catalogue import BY_ENTITY, BY_NAME
from alcor.model.errors import Forbidden, NotFound
from alcor.model.rbac_policy import AS_SHARED
from alcor.model.resource import REQUIRED, UNSET, Entity, Resource

# Distinct kinds of callers remembered per resource; a kind is a set of roles and, where a rule asks for it, a project.
_PROFILES_MAX = 1_024

Target = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Profile:
    """What one kind of caller sees. `hidden`: attributes it never sees; `by_row`: those a rule decides per row."""

    hidden: frozenset[str]
    by_row: tuple[tuple[str, Rule], ...]


class Access:
    """The rules of one resource, found once.

    Cost: a dictionary look-up per request where no rule needs the row.
    """

    def __init__(self, resource: Resource, policy: Policy) -> None:
        self.resource = resource
        self._policy = policy
        self._noun_rules = {
            verb: policy.rule(action_name(verb, resource)) for verb in ("create", "get", "update", "delete")
        }
        self._seen = [
            (a.name, rule) for a in resource.attributes if (rule := self._of("get", a.name)) is not None
        ]
        self._said = {verb: self._attribute_rules(verb) for verb in ("create", "update")}
        self._defaults = {
            a.name: a.default for a in resource.attributes if a.default not in (REQUIRED, UNSET)
        }
        self._profiles: dict[Any, Profile] = {}

    def _of(self, verb: str, *parts: str) -> Rule | None:
        name = action_name(verb, self.resource, *parts)
        return self._policy.rule(name) if name in self._policy else None

    def _attribute_rules(self, verb: str) -> dict[str, list[tuple[str, Rule]]]:
        """Attribute → (member of it or "", rule)."""
        found: dict[str, list[tuple[str, Rule]]] = {}
        for a in self.resource.attributes:
            if (rule := self._of(verb, a.name)) is not None:
                found.setdefault(a.name, []).append(("", rule))
            for member in _members(a.type):
                if (rule := self._of(verb, a.name, member)) is not None:
                    found.setdefault(a.name, []).append((member, rule))
        return found

    def sees_all(self, caller: Caller) -> bool | None:
        """True: every row, whoever owns it. False: none. None: it depends on the row."""
        return self._noun_rules["get"].known(caller)

    def sees(self, caller: Caller, row: Entity, *, shared: bool = False) -> bool:
        """Whether the rule lets the caller see this row. `shared`: it is opened to the caller's project."""
        rule = self._noun_rules["get"]
        known = rule.known(caller)
        return rule.allows(caller, self._row_target(row) | {"shared": shared}) if known is None else known

    def profile(self, caller: Caller) -> Profile:
        """Which attributes the caller sees."""
        standing = self._policy.standing(caller)
        found = self._profiles.get(standing)
        if found is None:
            if len(self._profiles) >= _PROFILES_MAX:
                self._profiles.clear()
            known = [(name, rule, rule.known(caller)) for name, rule in self._seen]
            found = self._profiles[standing] = Profile(
                frozenset(name for name, _, answer in known if answer is False),
                tuple((name, rule) for name, rule, answer in known if answer is None),
            )
        return found

    async def check(
        self,
        rows: Rows,
        caller: Caller,
        verb: str,
        target: Mapping[str, Any],
        said: Iterable[tuple[str, Any]] = (),
    ) -> None:
        """Refuse what the caller may not do.

        target:  attribute name → value, of the row or of what is to become one; with `project_id`.
        said:    the attributes the client named, with their values; a value equal to the default is not asked about
                 on create.
        Raises:  Forbidden, naming the rule; NotFound for a parent that is named and not there.
        """
        asked = [(self._noun_rules[verb], "")]
        for name, value in said:
            if verb == "create" and name in self._defaults and self._defaults[name] == value:
                continue
            for member, rule in self._said[verb].get(name, ()):
                if not member or _has_member(value, member):
                    asked.append((rule, name))
        full: Target | None = None
        for rule, name in asked:
            answer = rule.known(caller)
            if answer is None:
                if full is None:
                    full = await self._full_target(rows, caller, target, asked)
                answer = rule.allows(caller, full)
            if not answer:
                raise _refused(rule.name, name)

    async def check_action(
        self, rows: Rows, caller: Caller, row: Entity, rule_name: str, fallback: str = "update"
    ) -> None:
        """Refuse an action on a row. Raises: Forbidden."""
        rule = self._policy.rule(rule_name) if rule_name in self._policy else self._noun_rules[fallback]
        answer = rule.known(caller)
        if answer is None:
            target = await self._full_target(rows, caller, self._row_target(row), [(rule, "")])
            answer = rule.allows(caller, target)
        if not answer:
            raise _refused(rule.name, "")

    def row_target(self, row: Entity) -> Target:
        """A row as rules see it: attribute name → value."""
        return self._row_target(row)

    def _row_target(self, row: Entity) -> Target:
        return {a.name: getattr(row, a.field) for a in self.resource.attributes if a.stored}

    async def _full_target(
        self, rows: Rows, caller: Caller, target: Mapping[str, Any], asked: Iterable[tuple[Rule, str]]
    ) -> Target:
        """The target with what the rules ask of parents: `network:project_id`, `ext_parent:project_id`, `shared`."""
        full = dict(target)
        wanted = frozenset[str]().union(*(rule.fields for rule, _ in asked))
        for prefix in {name.partition(":")[0] for name in wanted if ":" in name}:
            parent = await self._parent(rows, prefix, target)
            if parent is not None:
                above = BY_ENTITY[type(parent)]
                full |= {f"{prefix}:{a.name}": getattr(parent, a.field) for a in above.attributes if a.stored}
                full[f"{prefix}:project_id"] = parent.project_id
                if f"{prefix}:shared" in wanted and above.shared_as:
                    # What an RBAC policy opens as external is not shared: nobody but routers may have ports there.
                    opened = await shared_of(rows, above.name, (AS_SHARED,), [parent.id], caller.project_id)
                    full[f"{prefix}:shared"] = bool(opened)
        if "shared" in wanted and self.resource.shared_as and "shared" not in full and "id" in full:
            resource = self.resource
            ids = await shared_of(rows, resource.kind, resource.shared_as, [full["id"]], caller.project_id)
            full["shared"] = bool(ids)
        return full

    async def _parent(self, rows: Rows, prefix: str, target: Mapping[str, Any]) -> Entity | None:
        if prefix == "ext_parent":
            above = self.resource.parent
            if above is None:
                return None
            kind, id = above.resource, target.get(above.field)
        else:
            kind, id = prefix, target.get(f"{prefix}_id")
        resource = BY_NAME.get(kind)
        if resource is None or not isinstance(id, str):
            return None
        parent: Entity | None = await rows.find(resource.entity, id)
        if parent is None:
            # Clients are told what is missing, not that a rule about its owner does not hold.
            raise NotFound(resource.error_name or resource.name, id)
        return parent


def _refused(rule: str, attribute: str) -> Forbidden:
    what = f" for attribute {attribute}" if attribute else ""
    return Forbidden(
        f"rule:{rule} is disallowed by policy{what}: the token's roles and project do not allow it. "
        "Use a token with the right role, or ask an administrator."
    )


def _members(type_: Any) -> tuple[str, ...]:
    """The members of an object, or of a list's objects."""
    while hasattr(type_, "inner"):
        type_ = type_.inner
    return tuple(getattr(type_, "members", ()))


def _has_member(value: Any, member: str) -> bool:
    """Whether an object, or one of a list's, has a member that is not null; parsed objects are structs."""
    items = value if isinstance(value, list | tuple) else (value,)
    return any(
        (one.get(member) if isinstance(one, Mapping) else getattr(one, member, None)) is not None
        for one in items
    )
