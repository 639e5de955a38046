"""Every rule by name, and an operator's file of other texts for them."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from alcor.api.policy.compile import Rule, compile_rules
from alcor.api.policy.named import BASE_RULES
from alcor.api.policy.syntax import PolicyError, RuleError, parse_rule, render_list
from alcor.managers.interface import Caller

FILE_BYTES_MAX = 1_000_000
_DEFAULT = "default"


class Policy:
    """All rules, compiled. Immutable; equal texts give equal answers.

    Cost:  `allows` is a dictionary look-up and one function per check that is asked.
    """

    def __init__(self, rules: Mapping[str, Rule], unused: frozenset[str]) -> None:
        self._rules = dict(rules)
        self._default = self._rules[_DEFAULT]
        self.unused = unused
        self.callers = tuple(sorted({name for rule in rules.values() for name in rule.callers}))

    @classmethod
    def of(
        cls,
        defaults: Mapping[str, str],
        overrides: Mapping[str, str] = {},
        *,
        source: str = "policy file",
    ) -> "Policy":
        """The rules of `BASE_RULES`, then `defaults`, then `overrides`; later texts replace earlier ones.

        source:  the name of the file the overrides are from, for errors.
        Raises:  PolicyError, naming the file, the rule and the reason.
        """
        texts = {**BASE_RULES, **defaults, **overrides}
        rules = compile_rules(texts, lambda name: source if name in overrides else "built-in defaults")
        asked = {name for text in overrides.values() for name in _references(text)}
        unused = overrides.keys() - BASE_RULES.keys() - defaults.keys() - asked
        return cls(rules, frozenset(unused))

    unused: frozenset[str]
    """Rules of the file that nothing asks for: a typing error, or of a service that is not ours."""

    callers: tuple[str, ...]
    """The properties of a caller that the answers of `Rule.known` depend on."""

    def __contains__(self, name: str) -> bool:
        """Whether there is a rule of this name; an attribute without one needs no right of its own."""
        return name in self._rules

    def rule(self, name: str) -> Rule:
        """The rule of this name, or the rule `default` if there is none."""
        return self._rules.get(name, self._default)

    def rules_within(self, name: str) -> list[Rule]:
        """The rules about parts of what a rule is about: "add_external_gateways:external_gateways:enable_snat"."""
        return [rule for key, rule in self._rules.items() if key.startswith(f"{name}:")]

    def allows(self, rule: str, caller: Caller, target: Mapping[str, Any]) -> bool:
        """Whether the caller may do `rule` ("create_network:shared") to the target.

        target:  attribute name → value; what is known of parents under `network:project_id`, `ext_parent:project_id`.
        """
        return self._rules.get(rule, self._default).allows(caller, target)

    def standing(self, caller: Caller) -> Hashable:
        """Equal for callers to whom every `Rule.known` gives the same answer; a key for caches of such answers."""
        return tuple(getattr(caller, name) for name in self.callers)


def load_overrides(path: Path) -> dict[str, str]:
    """An operator's policy.yaml (or JSON, which is YAML): rule name → text, lists turned into text.

    Raises:  PolicyError if the file cannot be read, is no mapping of names to rules, names a rule twice, or has a rule
             that cannot be read. What rules refer to is checked by `Policy.of`.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise PolicyError(f"{path}: it is larger than {FILE_BYTES_MAX} bytes")
        document = yaml.load(path.read_text(), _Loader)
    except OSError as error:
        raise PolicyError(f"{path}: it cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: it cannot be read: {' '.join(str(error).split())}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise PolicyError(f"{path}: it must be a mapping of rule names to rules")
    return {_name(path, name): _text(path, name, rule) for name, rule in document.items()}


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice: of two rules of one name the first would be gone without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping. Raises: yaml.YAMLError if a key is repeated."""
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key.value}' is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _name(path: Path, name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise PolicyError(f"{path}: '{name}' is not the name of a rule")
    return name


def _text(path: Path, name: str, rule: object) -> str:
    try:
        if isinstance(rule, list):
            rule = render_list(rule)
        if not isinstance(rule, str):
            raise RuleError('a rule is a text or a list; write "" for everybody and "!" for nobody')
        parse_rule(rule)
    except RuleError as error:
        raise PolicyError(f"{path}: rule '{name}': {error}") from error
    return rule


def _references(text: str) -> set[str]:
    words = (word.strip("()") for word in text.split())
    return {word.removeprefix("rule:") for word in words if word.startswith("rule:")}
