"""The text of one rule as a tree of checks.

    rule    = "" | either                     the empty rule allows everybody
    either  = both { "or" both }
    both    = one { "and" one }
    one     = "not" one | "(" either ")" | "@" | "!" | kind ":" match
    kind    = "role" | "rule" | "field" | a credential (`project_id`) | a literal ('text', True, 7)
    match   = text with %(field)s for what the target holds; of `field`: collection:attribute=value, value=~pattern

Words are separated by white space and parentheses stick to words, as in oslo.policy's files. Where that library
falls back to "nobody" for what it cannot read, this parser refuses, so that a typing error is found at the start.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Nobody writes such a rule by hand; it bounds the recursion here and in `compile`.
DEPTH_MAX = 50
TEXT_CHARS_MAX = 10_000

_REFERENCE = re.compile(r"%\(([^()]+)\)s")


class PolicyError(Exception):
    """A policy that cannot be used; the text names the file, the rule and the reason."""


class RuleError(Exception):
    """Why one rule cannot be used: a reason without a place, which `PolicyError` adds."""


@dataclass(frozen=True, slots=True)
class Template:
    """Text around fields of the target: `texts[0] + fields[0] + texts[1] + …`; one more text than fields."""

    texts: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """`@` or the empty rule: everybody; `!`: nobody."""

    answer: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """`rule:name`."""

    name: str


@dataclass(frozen=True, slots=True)
class RoleCheck:
    """`role:name`: the caller has the role."""

    role: Template


@dataclass(frozen=True, slots=True)
class CredentialCheck:
    """`project_id:%(project_id)s`: what the caller is equals what the target says."""

    credential: str
    match: Template


@dataclass(frozen=True, slots=True)
class LiteralCheck:
    """`'compute:nova':%(device_owner)s`: the target's field has a fixed value."""

    text: str
    match: Template


@dataclass(frozen=True, slots=True)
class FieldCheck:
    """`field:networks:shared=True`, or with a pattern `field:port:device_owner=~^network:`."""

    collection: str
    field: str
    value: str
    pattern: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Not:
    """`not check`."""

    check: "Check"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Checks joined by `and`."""

    checks: tuple["Check", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Checks joined by `or`."""

    checks: tuple["Check", ...]


Check = Constant | Reference | RoleCheck | CredentialCheck | LiteralCheck | FieldCheck | Not | AllOf | AnyOf


def parse_rule(text: str) -> Check:
    """The tree of a rule's text. Raises: RuleError with the reason alone."""
    if len(text) > TEXT_CHARS_MAX:
        raise RuleError(f"the rule is longer than {TEXT_CHARS_MAX} characters")
    if not text.strip():
        return Constant(True)
    parser = _Parser(list(_words(text)))
    check = parser.either(0)
    if parser.word is not None:
        raise RuleError(f"'and' or 'or' is missing before '{parser.word}'")
    return check


def render_list(rule: Sequence[object]) -> str:
    """The old list form as text: the inner lists are joined by `and`, these by `or`.

    Shape:   `[["role:admin"], ["role:member", "project_id:%(project_id)s"]]`; an inner list may be one text.
    Raises:  RuleError if it is of another shape.
    """
    if not rule:
        return "@"
    either = []
    for inner in rule:
        words = [inner] if isinstance(inner, str) else inner
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            raise RuleError("a rule in list form is a list of lists of checks, each a text")
        if words:
            either.append(f"({' and '.join(words)})")
    return " or ".join(either) if either else "!"


def _words(text: str) -> Iterator[str]:
    for word in text.split():
        bare = word.lstrip("(")
        yield from "(" * (len(word) - len(bare))
        if not bare:
            continue
        # The parentheses of %(field)s are followed by an s: only those at the word's very end close a group.
        closed = bare.rstrip(")")
        if closed:
            yield closed
        yield from ")" * (len(bare) - len(closed))


class _Parser:
    """Recursive descent over words; `word` is the next one, None at the end."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._next = 0

    @property
    def word(self) -> str | None:
        return self._words[self._next] if self._next < len(self._words) else None

    def either(self, depth: int) -> Check:
        checks = self._joined("or", depth)
        return checks[0] if len(checks) == 1 else AnyOf(checks)

    def _joined(self, operator: str, depth: int) -> tuple[Check, ...]:
        checks = [self._both(depth) if operator == "or" else self._one(depth)]
        while self.word is not None and self.word.lower() == operator:
            self._next += 1
            checks.append(self._both(depth) if operator == "or" else self._one(depth))
        return tuple(checks)

    def _both(self, depth: int) -> Check:
        checks = self._joined("and", depth)
        return checks[0] if len(checks) == 1 else AllOf(checks)

    def _one(self, depth: int) -> Check:
        if depth > DEPTH_MAX:
            raise RuleError(f"checks are nested deeper than {DEPTH_MAX}")
        word = self.word
        if word is None:
            raise RuleError("a check is missing at the end")
        self._next += 1
        if word == "(":
            check = self.either(depth + 1)
            if self.word != ")":
                raise RuleError("a ')' is missing")
            self._next += 1
            return check
        if word == ")":
            raise RuleError("a ')' is where a check should be")
        if word.lower() == "not":
            return Not(self._one(depth + 1))
        if word.lower() in ("and", "or"):
            raise RuleError(f"a check is missing before '{word}'")
        return _parse_check(word)


def _parse_check(word: str) -> Check:
    if word in ("@", "!"):
        return Constant(word == "@")
    kind, match = _split(word)
    if kind == "rule":
        return Reference(match)
    if kind == "role":
        return RoleCheck(_parse_template(match.lower(), word))
    if kind == "field":
        return _parse_field(match, word)
    if kind in ("http", "https"):
        raise RuleError(f"'{word}' asks another server; rules here are decided without one")
    literal = _literal(kind)
    if literal is not None:
        return LiteralCheck(literal, _parse_template(match, word))
    return CredentialCheck(kind, _parse_template(match, word))


def _split(word: str) -> tuple[str, str]:
    quote = word[0]
    if quote in "'\"":
        # A quoted kind may hold colons: 'compute:nova':%(device_owner)s.
        end = word.find(quote + ":", 1)
        kind, match = (word[: end + 1], word[end + 2 :]) if end > 0 else ("", "")
    else:
        kind, _, match = word.partition(":")
    if not kind or not match:
        raise RuleError(f"'{word}' is not a check; write kind:match, such as role:admin, or @ or !")
    return kind, match


def _literal(kind: str) -> str | None:
    """What a kind that is a Python literal stands for, as text; None if it is a name."""
    try:
        return str(ast.literal_eval(kind))
    except (ValueError, SyntaxError):
        return None


def _parse_template(match: str, word: str) -> Template:
    parts = _REFERENCE.split(match)
    texts, fields = parts[::2], parts[1::2]
    if any("%" in text.replace("%%", "") for text in texts):
        raise RuleError(f"'{word}' has a '%' that does not begin %(field)s")
    return Template(tuple(text.replace("%%", "%") for text in texts), tuple(fields))


def _parse_field(match: str, word: str) -> FieldCheck:
    collection, colon, rest = match.partition(":")
    field, equals, value = rest.partition("=")
    if not (colon and equals and collection and field):
        raise RuleError(f"'{word}' is not field:collection:attribute=value")
    pattern = None
    if value.startswith("~"):
        try:
            pattern = re.compile(value[1:])
        except re.error as error:
            raise RuleError(f"'{word}' has a pattern that cannot be read: {error}") from error
    return FieldCheck(collection, field, value, pattern)
