"""What the policy lets a caller do with one resource: its verbs, its attributes; row by row where a rule needs that."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alcor.api.policy import Policy, Rule, action_name
from alcor.managers.interface import Caller, Hidden, Rows
from alcor.managers.sharing import may_use, shared_of
from alcor.model.catalogue import BY_ENTITY, BY_NAME
from alcor.model.errors import Forbidden, NotFound
from alcor.model.rbac_policy import AS_SHARED
from alcor.model.resource import REQUIRED, UNSET, Entity, Resource

# Distinct kinds of callers remembered per resource; a kind is a set of roles and, where a rule asks for it, a project.
_PROFILES_MAX = 1_024

Target = dict[str, Any]

# A rule about what a body says: the attribute it is about, its member or "", the rule.
Said = tuple[str, str, Rule]


@dataclass(frozen=True, slots=True)
class Profile:
    """What one kind of caller sees. `hidden`: attributes it never sees; `by_row`: those a rule decides per row."""

    hidden: frozenset[str]
    by_row: tuple[tuple[str, Rule], ...]

    @property
    def unlisted(self) -> frozenset[str]:
        """What it neither filters nor sorts by: also what it sees of some rows, since a filter would tell it of all."""
        return self.hidden | {name for name, _ in self.by_row} if self.by_row else self.hidden


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
        Raises:  Forbidden, naming the rule; NotFound for a parent that is named and not there, or not the caller's to
                 know of.
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
                if verb == "create":
                    await self._refuse_unseen_parents(rows, caller, target, asked)
                raise _refused(rule.name, name)

    async def _refuse_unseen_parents(
        self, rows: Rows, caller: Caller, target: Mapping[str, Any], asked: Iterable[tuple[Rule, str]]
    ) -> None:
        """A refusal would tell that a parent is there: one the caller does not see is said to be missing. Raises:
        NotFound."""
        for prefix in _prefixes(asked):
            parent = None if prefix == "ext_parent" else await self._parent(rows, prefix, target)
            if parent is not None and not await may_use(rows, caller, parent):
                above = BY_ENTITY[type(parent)]
                raise NotFound(above.error_name or above.name, parent.id)

    def rules_of_action(self, name: str) -> tuple[Said, ...]:
        """The rules about attributes in an action's body: `<action>:<attribute>[:<member>]`."""
        found = []
        for rule in self._policy.rules_within(name):
            attribute, _, member = rule.name.removeprefix(f"{name}:").partition(":")
            found.append((attribute, member, rule))
        return tuple(found)

    async def check_action(
        self,
        rows: Rows,
        caller: Caller,
        row: Entity,
        rule_names: Sequence[str],
        *,
        fallback: str = "update",
        said: Iterable[Said] = (),
        body: Mapping[str, Any] = {},
    ) -> None:
        """Refuse an action on a row.

        rule_names: the first of them that there is decides, else the resource's rule `fallback`.
        said:       as `rules_of_action`: asked if `body` has the attribute, or such a member of it.
        Raises:     Forbidden.
        """
        names = [name for name in rule_names if name in self._policy]
        asked = [(self._policy.rule(names[0]) if names else self._noun_rules[fallback], "")]
        inner = body.get(self.resource.member_key, body)
        for attribute, member, rule in said:
            value = inner.get(attribute) if isinstance(inner, Mapping) else None
            if value is not None and (not member or _has_member(value, member)):
                asked.append((rule, attribute))
        await self._check_row(rows, caller, row, asked)

    async def check_child(self, rows: Rows, caller: Caller, row: Entity, name: str) -> None:
        """Refuse a document inside a row that has a rule of its own. Raises: Forbidden."""
        if name in self._policy:
            await self._check_row(rows, caller, row, [(self._policy.rule(name), "")])

    async def check_seen(self, rows: Rows, caller: Caller, row: Entity, attribute: str) -> None:
        """Refuse an attribute that is read by a path of its own. Raises: Forbidden."""
        if (rule := self._of("get", attribute)) is not None:
            await self._check_row(rows, caller, row, [(rule, attribute)])

    async def _check_row(
        self, rows: Rows, caller: Caller, row: Entity, asked: Sequence[tuple[Rule, str]]
    ) -> None:
        full: Target | None = None
        for rule, name in asked:
            answer = rule.known(caller)
            if answer is None:
                if full is None:
                    full = await self._full_target(rows, caller, self._row_target(row), asked)
                answer = rule.allows(caller, full)
            if not answer:
                raise _refused(rule.name, name)

    async def sees_within(self, rows: Rows, caller: Caller, above: Entity, parent_field: str) -> bool:
        """Whether the caller, who sees `above`, sees what is inside of it. What another project has opened to it, it
        sees as a whole."""
        rule = self._noun_rules["get"]
        known = rule.known(caller)
        if known is not None:
            return known
        if not caller.owns(above):
            return True
        target = {parent_field: above.id, "project_id": above.project_id}
        return rule.allows(caller, await self._full_target(rows, caller, target, [(rule, "")]))

    async def hidden_of(self, rows: Rows, caller: Caller, row: Entity) -> frozenset[str] | None:
        """The attributes a caller does not see of a row, be it present or past; None if it does not see the row.

        What is inside of another row is seen by who sees that, as long as it is there.
        """
        parent = self.resource.parent
        if parent is not None:
            above = await rows.find(BY_NAME[parent.resource].entity, getattr(row, parent.field))
            if above is None or not await may_use(rows, caller, above):
                return None
            if not await self.sees_within(rows, caller, above, parent.field):
                return None
        else:
            known = self.sees_all(caller)
            # A rule about the row's parents cannot be asked about the past; whose a row was is known.
            if known is False or (known is None and not (caller.owns(row) or self.sees(caller, row))):
                return None
        profile = self.profile(caller)
        target = self._row_target(row)
        return profile.hidden | {name for name, rule in profile.by_row if not rule.allows(caller, target)}

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
        for prefix in _prefixes(asked):
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


class Reach:
    """The kinds of which a caller sees every row, and what it does not see of single ones; for all resources.

    Cost: `of` is a dictionary look-up.
    """

    def __init__(self, resources: Iterable[Resource], policy: Policy) -> None:
        self._policy = policy
        self._access = {one.name: Access(one, policy) for one in resources}
        self._known: dict[Any, frozenset[str]] = {}

    def of(self, caller: Caller) -> frozenset[str]:
        """The kinds of which the policy shows the caller every row."""
        standing = self._policy.standing(caller)
        found = self._known.get(standing)
        if found is None:
            if len(self._known) >= _PROFILES_MAX:
                self._known.clear()
            found = self._known[standing] = frozenset(
                name for name, access in self._access.items() if access.sees_all(caller)
            )
        return found

    def hidden(self, caller: Caller) -> Hidden:
        """What the caller does not see of any row."""

        async def hidden(rows: Rows, row: Entity) -> frozenset[str] | None:
            access = self._access.get(BY_ENTITY[type(row)].name)
            return None if access is None else await access.hidden_of(rows, caller, row)

        return hidden


def _prefixes(asked: Iterable[tuple[Rule, str]]) -> set[str]:
    """What rules call the parents they ask about: "network" of `network:project_id`."""
    return {name.partition(":")[0] for rule, _ in asked for name in rule.fields if ":" in name}


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
