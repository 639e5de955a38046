"""The types an attribute may have: each parses what a client sent and describes itself as JSON Schema.

`parse` returns the canonical value or raises `ValueError` with a sentence that names the value and
the reason; the engine adds the attribute's name. Parsing is total over JSON values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from alcor.model import address
from alcor.model.ids import is_uuid

Schema = dict[str, Any]


class ValueType(Protocol):
    """What an attribute accepts. Law: `parse(parse(x)) == parse(x)`."""

    def parse(self, value: object) -> Any:
        """The canonical form of a JSON value. Raises: ValueError."""

    def schema(self) -> Schema:
        """JSON Schema 2020-12 of what clients send and receive."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string of at most `length_max` characters."""

    length_max: int = 255
    length_min: int = 0
    pattern: str = ""

    def parse(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"'{value}' is not a valid string")
        if len(value) > self.length_max:
            raise ValueError(f"'{value[:64]}…' exceeds maximum length of {self.length_max}")
        if len(value) < self.length_min:
            raise ValueError(f"'{value}' is shorter than {self.length_min}")
        if "\0" in value:
            raise ValueError("a string must not hold the NUL character")
        return value

    def schema(self) -> Schema:
        schema: Schema = {"type": "string", "maxLength": self.length_max}
        if self.length_min:
            schema["minLength"] = self.length_min
        return schema


@dataclass(frozen=True, slots=True)
class Uuid:
    """A UUID in text form; upper case is accepted."""

    def parse(self, value: object) -> str:
        if not isinstance(value, str) or not is_uuid(value.lower()):
            raise ValueError(f"'{value}' is not a valid UUID")
        return value.lower()

    def schema(self) -> Schema:
        return {"type": "string", "format": "uuid"}


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false; the spellings clients send in queries and old bodies are accepted."""

    def parse(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        word = str(value).lower()
        if word in ("true", "1"):
            return True
        if word in ("false", "0"):
            return False
        raise ValueError(f"'{value}' cannot be converted to boolean")

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number in [minimum, maximum]; decimal text is accepted, and what JSON writes `4.0`."""

    minimum: int = 0
    maximum: int = 2**31 - 1

    def parse(self, value: object) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"'{value}' is not an integer")
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"'{value}' is not an integer") from None
        if not self.minimum <= number <= self.maximum:
            raise ValueError(f"'{number}' is not in range {self.minimum} through {self.maximum}")
        return number

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a closed list of words or numbers."""

    values: tuple[str | int, ...]

    def parse(self, value: object) -> str | int:
        for allowed in self.values:
            if value == allowed and not isinstance(value, bool):
                return allowed
            if isinstance(allowed, int) and isinstance(value, str) and value == str(allowed):
                return allowed
        raise ValueError(f"'{value}' is not in {list(self.values)}")

    def schema(self) -> Schema:
        return {"type": "integer" if isinstance(self.values[0], int) else "string", "enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Parsed:
    """Text with a parser of its own: an address, a prefix, a time."""

    parser: Callable[[str], str]
    format: str

    def parse(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"'{value}' is not a valid {self.format}")
        return self.parser(value)

    def schema(self) -> Schema:
        return {"type": "string", "format": self.format}


MAC = Parsed(address.parse_mac, "mac-address")
IP = Parsed(address.parse_ip, "ip-address")
CIDR = Parsed(address.parse_cidr, "cidr")


@dataclass(frozen=True, slots=True)
class Nullable:
    """`inner`, or null."""

    inner: ValueType

    def parse(self, value: object) -> Any:
        return None if value is None else self.inner.parse(value)

    def schema(self) -> Schema:
        return {"anyOf": [self.inner.schema(), {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class Cleared:
    """`inner`, where null means `empty`: clients clear the attribute with null, and it is never stored as null."""

    inner: ValueType
    empty: Any

    def parse(self, value: object) -> Any:
        return self.empty if value is None else self.inner.parse(value)

    def schema(self) -> Schema:
        return {"anyOf": [self.inner.schema(), {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of at most `items_max` values, without equal ones if `unique`."""

    inner: ValueType
    items_max: int = 1_000
    unique: bool = True

    def parse(self, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError(f"'{value}' is not a list")
        if len(value) > self.items_max:
            raise ValueError(f"the list has {len(value)} items, more than {self.items_max}")
        items = tuple(self.inner.parse(item) for item in value)
        if self.unique:
            for index, item in enumerate(items):
                if item in items[:index]:
                    raise ValueError(f"duplicate items in the list: '{value}'")
        return items

    def schema(self) -> Schema:
        return {"type": "array", "items": self.inner.schema(), "maxItems": self.items_max}


@dataclass(frozen=True, slots=True)
class SetOf:
    """Values without order: kept sorted, an equal one once."""

    inner: ValueType
    items_max: int = 1_000

    def parse(self, value: object) -> tuple[Any, ...]:
        return tuple(sorted(set(ListOf(self.inner, self.items_max, unique=False).parse(value))))

    def schema(self) -> Schema:
        return ListOf(self.inner, self.items_max).schema()


@dataclass(frozen=True, slots=True)
class Record:
    """An object with the named members; `make` turns the parsed members into the stored value.

    A member of type `Nullable` may be left out (None); others must be there.
    """

    members: Mapping[str, ValueType]
    make: Callable[..., Any]

    def parse(self, value: object) -> Any:
        if not isinstance(value, Mapping):
            if isinstance(value, self.make if isinstance(self.make, type) else ()):
                return value
            raise ValueError(f"'{value}' is not a dictionary")
        unknown = sorted(set(value) - set(self.members))
        if unknown:
            raise ValueError(f"unexpected keys {unknown} in '{dict(value)}'")
        parsed = {}
        for name, member in self.members.items():
            if name not in value and not isinstance(member, Nullable):
                raise ValueError(f"'{name}' is missing in '{dict(value)}'")
            parsed[name] = member.parse(value.get(name))
        return self.make(**parsed)

    def schema(self) -> Schema:
        required = [name for name, member in self.members.items() if not isinstance(member, Nullable)]
        return {
            "type": "object",
            "properties": {name: member.schema() for name, member in self.members.items()},
            "required": required,
            "additionalProperties": False,
        }


@dataclass(frozen=True, slots=True)
class FreeForm:
    """Any JSON object of at most `bytes_max` when encoded; stored as it came."""

    bytes_max: int = 4_095

    def parse(self, value: object) -> dict[str, Any]:
        if value is None or value == "":
            return {}
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError(f"'{value}' is not a dictionary")
        if len(repr(value)) > self.bytes_max:
            raise ValueError(f"the dictionary is larger than {self.bytes_max} characters")
        return dict(value)

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": True}
