"""Trees of checks as functions, with what each depends on.

A rule is two functions. `allows(caller, target)` answers; `known(caller)` answers without a target where the target
makes no difference to this caller, which is what lets a list be decided once instead of once a row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from alcor.api.policy.syntax import (
    AllOf,
    AnyOf,
    Check,
    Constant,
    CredentialCheck,
    FieldCheck,
    LiteralCheck,
    Not,
    PolicyError,
    Reference,
    RoleCheck,
    RuleError,
    Template,
    parse_rule,
)
from alcor.managers.interface import Caller

Target = Mapping[str, Any]
Allows = Callable[[Caller, Target], bool]
Known = Callable[[Caller], bool | None]
_Read = Callable[[Target], Any]

# A chain of rules this long is no rule a person follows; it bounds the recursion.
_CHAIN_MAX = 50

# What rules call a property of the caller → the property of `Caller`.
CREDENTIALS: Mapping[str, str] = {
    "project_id": "project_id",
    "tenant_id": "project_id",
    "tenant": "project_id",
    "project_name": "project_name",
    "tenant_name": "project_name",
    "user_id": "user_id",
    "user": "user_id",
    "user_name": "user_name",
    "project_domain_id": "domain_id",
    "is_admin": "is_admin",
    "roles": "roles",
    "service_roles": "service_roles",
}
# What only callers of another scope than a project have, who are refused before any rule: never true.
NEVER = frozenset({"system_scope", "domain_id"})
_TWINS = (("tenant_id", "project_id"), ("target_tenant", "target_project"))
_TRUTH = {"true": True, "false": False}
# What a port or a subnet does not have and its network does.
_OF_NETWORK = frozenset({"shared", "router:external"})


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule.

    `allows`  whether the caller may, given the target (attribute name → value; of parents `network:project_id`).
              What the target does not hold makes a check false.
    `known`   the answer if no target can change it for this caller, else None.
    `fields`  the names of the target it looks at; empty: the target makes no difference to anybody.
    `callers` the properties of the caller that `known` looks at.
    """

    name: str
    text: str
    allows: Allows
    known: Known
    fields: frozenset[str]
    callers: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Part:
    allows: Allows
    known: Known
    fields: frozenset[str] = frozenset()
    callers: frozenset[str] = frozenset()


def compile_rules(texts: Mapping[str, str], origin: Callable[[str], str]) -> dict[str, Rule]:
    """Every rule by name.

    origin:  where a rule's text is from, for errors.
    Raises:  PolicyError for text that cannot be read, a rule that names one that is not there, a circle of rules.
    """
    compiler = _Compiler(texts, origin)
    rules = {}
    for name, text in texts.items():
        part = compiler.part(name)
        rules[name] = Rule(name, text, part.allows, part.known, part.fields, part.callers)
    return rules


class _Compiler:
    def __init__(self, texts: Mapping[str, str], origin: Callable[[str], str]) -> None:
        self._texts = texts
        self._origin = origin
        self._done: dict[str, _Part] = {}
        self._chain: list[str] = []

    def part(self, name: str) -> _Part:
        """A named rule, compiled once."""
        done = self._done.get(name)
        if done is not None:
            return done
        if name in self._chain:
            circle = " → ".join([*self._chain[self._chain.index(name) :], name])
            raise self._refused(name, f"it needs itself: {circle}")
        if len(self._chain) >= _CHAIN_MAX:
            raise self._refused(name, f"it is at the end of a chain of more than {_CHAIN_MAX} rules")
        self._chain.append(name)
        try:
            tree = parse_rule(self._texts[name])
            part = self._compile(tree)
        except RuleError as error:
            raise self._refused(name, str(error)) from error
        self._chain.pop()
        self._done[name] = part
        return part

    def _refused(self, name: str, reason: str) -> PolicyError:
        return PolicyError(f"{self._origin(name)}: rule '{name}': {reason}")

    def _compile(self, check: Check) -> _Part:
        match check:
            case Constant(answer):
                return _fixed(answer)
            case Reference(name):
                if name not in self._texts:
                    raise RuleError(f"there is no rule '{name}'")
                return self.part(name)
            case RoleCheck(role):
                return _role(role)
            case CredentialCheck():
                return _credential(check)
            case LiteralCheck(text, match):
                render, fields = _renderer(match)
                return _of(lambda _, target: render(target) == text, fields)
            case FieldCheck():
                return _field(check)
            case Not(inner):
                return _negated(self._compile(inner))
            case AllOf(checks):
                return _joined([self._compile(one) for one in checks], decides=False)
            case AnyOf(checks):
                return _joined([self._compile(one) for one in checks], decides=True)
            case _:
                assert_never(check)


def _fixed(answer: bool) -> _Part:
    return _Part(lambda _caller, _target: answer, lambda _caller: answer)


def _of(allows: Allows, fields: frozenset[str], callers: frozenset[str] = frozenset()) -> _Part:
    """A single check: without fields its answer is known without a target."""
    if fields:
        return _Part(allows, lambda _caller: None, fields)
    nothing: Target = {}
    return _Part(allows, lambda caller: allows(caller, nothing), fields, callers)


def _role(role: Template) -> _Part:
    callers = frozenset({"roles"})
    if not role.fields:
        name = role.texts[0]
        return _of(lambda caller, _target: name in caller.roles, frozenset(), callers)
    render, fields = _renderer(role)

    def allows(caller: Caller, target: Target) -> bool:
        name = render(target)
        return name is not None and name.lower() in caller.roles

    return _of(allows, fields, callers)


def _credential(check: CredentialCheck) -> _Part:
    if check.credential in NEVER:
        return _fixed(False)
    name = CREDENTIALS.get(check.credential)
    if name is None:
        known = ", ".join(sorted({*CREDENTIALS, "role", "rule", "field"}))
        raise RuleError(f"'{check.credential}:' is not a check; there are {known}, and literals in quotes")
    render, fields = _renderer(check.match)
    callers = frozenset({name})
    if name == "is_admin":
        return _of(lambda caller, target: render(target) == str(caller.is_admin), fields, callers)
    if name in ("roles", "service_roles"):

        def among(caller: Caller, target: Target) -> bool:
            return render(target) in getattr(caller, name)

        return _of(among, fields, callers)

    def same(caller: Caller, target: Target) -> bool:
        # A caller without a project does not own what has none.
        own: str = getattr(caller, name)
        return own != "" and render(target) == own

    return _of(same, fields, callers)


def _field(check: FieldCheck) -> _Part:
    names = [check.field]
    if check.field in _OF_NETWORK:
        names.append(f"network:{check.field}")
    readers = [_reader(name) for name in names]
    pattern, value, truth = check.pattern, check.value, _TRUTH.get(check.value.lower())

    def allows(_caller: Caller, target: Target) -> bool:
        found = None
        for read in readers:
            found = read(target)
            if found is not None:
                break
        if found is None:
            return False
        if pattern is not None:
            return isinstance(found, str) and pattern.match(found) is not None
        if isinstance(found, bool):
            return found is truth
        return str(found) == value

    return _of(allows, frozenset(_canonical(name) for name in names))


def _negated(part: _Part) -> _Part:
    inner_allows, inner_known = part.allows, part.known

    def known(caller: Caller) -> bool | None:
        answer = inner_known(caller)
        return None if answer is None else not answer

    return _Part(lambda caller, target: not inner_allows(caller, target), known, part.fields, part.callers)


def _joined(parts: Sequence[_Part], *, decides: bool) -> _Part:
    """`or` (one True decides) and `and` (one False does)."""
    # What needs no target first: known answers make the costly ones unnecessary. Checks have no effects, so that the
    # order makes no other difference.
    asked = tuple(part.allows for part in sorted(parts, key=lambda part: bool(part.fields)))
    known_of = tuple(part.known for part in parts)

    def allows(caller: Caller, target: Target) -> bool:
        for one in asked:
            if one(caller, target) is decides:
                return decides
        return not decides

    def known(caller: Caller) -> bool | None:
        answer: bool | None = not decides
        for one in known_of:
            found = one(caller)
            if found is decides:
                return decides
            if found is None:
                answer = None
        return answer

    return _Part(
        allows,
        known,
        frozenset().union(*(part.fields for part in parts)),
        frozenset().union(*(part.callers for part in parts)),
    )


def _renderer(template: Template) -> tuple[Callable[[Target], str | None], frozenset[str]]:
    """What gives a template's text, None if the target does not hold a field of it; and the fields."""
    texts = template.texts
    if not template.fields:
        text = texts[0]
        return lambda _target: text, frozenset()
    readers = tuple(_reader(name) for name in template.fields)
    fields = frozenset(_canonical(name) for name in template.fields)
    if texts == ("", ""):
        only = readers[0]

        def whole(target: Target) -> str | None:
            value = only(target)
            return value if value is None or isinstance(value, str) else str(value)

        return whole, fields

    def mixed(target: Target) -> str | None:
        text = texts[0]
        for read, after in zip(readers, texts[1:], strict=True):
            value = read(target)
            if value is None:
                return None
            text += f"{value}{after}"
        return text

    return mixed, fields


def _canonical(name: str) -> str:
    """`tenant_id` is another name of `project_id`, also of a parent's; so is the old `network_tenant_id`."""
    if name in ("network_tenant_id", "network_project_id"):
        return "network:project_id"
    for old, new in _TWINS:
        if name == old or name.endswith(f":{old}"):
            return name.removesuffix(old) + new
    return name


def _reader(name: str) -> _Read:
    """What finds a field in a target, under its present name or its old one; None if it is not there."""
    name = _canonical(name)
    for old, new in _TWINS:
        if name == new or name.endswith(f":{new}"):
            return _either(name, name.removesuffix(new) + old)
    return lambda target: target.get(name)


def _either(name: str, twin: str) -> _Read:
    def read(target: Target) -> Any:
        value = target.get(name)
        return target.get(twin) if value is None else value

    return read
