"""What a list request asks for: filters, fields, order and page, from the declaration of the resource.

Source: Networking API v2.0, "Filtering and column selection", "Sorting", "Pagination"; extensions filter-validation,
empty-string-filtering, ip-substring-filtering, sort-key-validation.
"""

from collections.abc import Callable, Sequence
from collections.abc import Collection as Names
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from alcor.api.errors import bad_request
from alcor.api.limit import Limits
from alcor.model.errors import InvalidInput
from alcor.model.resource import Attribute, Lookup, Resource, Who
from alcor.model.value import Boolean, Cleared, FreeForm, Integer, ListOf, Nullable, Record, SetOf, ValueType
from alcor.store.interface import Condition, Op, Query, Sort

Pairs = Sequence[tuple[str, str]]
"""The query string, decoded, in order."""

PAGE_KEYS = frozenset({"fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse", "changed_since"})
TAG_FILTERS = {"tags": Op.ALL, "tags-any": Op.IN, "not-tags": Op.NOT_ALL, "not-tags-any": Op.NONE}
_SUBSTRING = "_substr"
_DIRECTIONS = ("asc", "desc")


@dataclass(frozen=True, slots=True)
class Listing:
    """A list request, understood.

    `query`    what the store answers; its `limit` is the page's.
    `computed` filters on computed attributes, name → accepted values: applied to rows that were loaded.
    `nothing`  no row can match: some filter has only values that no row can have.
    `paged`    the client asked for pages.
    """

    query: Query
    fields: tuple[str, ...]
    computed: dict[str, tuple[Any, ...]]
    nothing: bool
    paged: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one page. `full`: there may be more in the direction walked; `first` and `last` are the markers of
    the pages before and after it."""

    rows: list[Any]
    full: bool
    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True)
class _Filter:
    """One attribute's filter. `parse` raises ValueError for values no row can have; `strict`: then the client is told;
    `nullable`: an empty text also means null."""

    field: str
    parse: Callable[[str], Any]
    strict: bool
    nullable: bool
    computed: bool


@dataclass(frozen=True, slots=True)
class _Side:
    """A list inside the row that is filtered by `<name>=<column>=<value>`, or `<name>=<value>` if `plain` names the
    only column of a list of plain values."""

    lookup: Lookup
    parse: dict[str, Callable[[str], Any]]
    plain: str = ""


class Parameters:
    """What a resource may be listed by. Prepared once.

    Cost: O(values said).
    """

    def __init__(self, resource: Resource, limits: Limits) -> None:
        self._limits = limits
        # A look-up that is no attribute is its manager's own index.
        lookups = [lookup for lookup in resource.lookups if resource.attribute(lookup.name) is not None]
        sides = {lookup.name for lookup in lookups}
        self._filters = {
            a.name: _filter(a)
            for a in resource.attributes
            if a.filters and a.see is not Who.NOBODY and a.name not in sides and not _is_object(a)
        }
        self._sides = {lookup.name: _side(resource, lookup) for lookup in lookups}
        self._sorts = {
            a.name: a.field for a in resource.attributes if a.sorts and a.stored and a.see is not Who.NOBODY
        }
        self._tagged = resource.is_tagged
        self.owned = "project_id" in self._filters
        if self.owned:
            self._filters["tenant_id"] = self._filters["project_id"]
            self._sorts["tenant_id"] = self._sorts["project_id"]

    @property
    def filter_names(self) -> list[str]:
        """Every name that may stand in a query as a filter."""
        return sorted({*self._filters, *self._sides, *(TAG_FILTERS if self._tagged else ())})

    @property
    def sort_names(self) -> list[str]:
        """Every name that may be a `sort_key`."""
        return sorted(self._sorts)

    def read(self, pairs: Pairs, hidden: Names[str]) -> Listing:
        """The request's meaning. `hidden`: the attributes the caller does not see, and so neither filters nor sorts by.

        Raises: InvalidInput, Refused (400) that name what is wrong.
        """
        if "project_id" in hidden:
            hidden = {*hidden, "tenant_id"}
        said: dict[str, list[str]] = {}
        for name, value in pairs:
            said.setdefault(name, []).append(value)
        self._check_names(said, hidden)
        conditions: list[Condition] = []
        computed: dict[str, tuple[Any, ...]] = {}
        for name, values in said.items():
            if name in PAGE_KEYS:
                continue
            if self._tagged and name in TAG_FILTERS:
                conditions.append(Condition("tags.tag", _tags(values), TAG_FILTERS[name]))
                continue
            if name in self._sides:
                conditions.extend(_side_conditions(name, self._sides[name], values))
                continue
            one = self._filters[name]
            wanted = _values(name, one, values)
            if one.computed:
                computed[name] = wanted
            else:
                conditions.append(Condition(one.field, wanted))
        if "changed_since" in said:
            conditions.append(Condition("updated_at", (_since(said["changed_since"][-1]),), Op.SINCE))
        asked = self._asked(said.get("limit", ["0"])[-1])
        query = Query(
            where=tuple(conditions),
            sort=self._order(said, hidden),
            limit=min(asked, self._limits.page_items_max) or self._limits.page_items_max,
            marker=said.get("marker", [""])[-1] or None,
            reverse=said.get("page_reverse", ["False"])[-1].lower() in ("true", "1"),
        )
        nothing = any(not condition.values for condition in conditions)
        fields = tuple(field for field in said.get("fields", ()) if field)
        nothing = nothing or not all(computed.values())
        return Listing(query, fields, computed, nothing, paged=asked > 0)

    def _check_names(self, said: dict[str, list[str]], hidden: Names[str]) -> None:
        unknown = [
            name
            for name in said
            if name not in PAGE_KEYS
            and not (self._tagged and name in TAG_FILTERS and "tags" not in hidden)
            and ((name not in self._filters and name not in self._sides) or name in hidden)
        ]
        if unknown:
            raise bad_request(f"{unknown} is invalid attribute for filtering")
        if "changed_since" in said and "updated_at" in hidden:
            raise bad_request("['changed_since'] is invalid attribute for filtering")
        if "tenant_id" in said and "project_id" in said:
            raise bad_request(
                "Both tenant_id and project_id passed as filters; they are two names of one thing."
            )

    def _order(self, said: dict[str, list[str]], hidden: Names[str]) -> tuple[Sort, ...]:
        keys = [key for key in said.get("sort_key", ()) if key]
        directions = [way for way in said.get("sort_dir", ()) if way]
        invalid = [key for key in keys if key not in self._sorts or key in hidden]
        if invalid:
            raise bad_request(f"{invalid} is invalid attribute for sort_keys")
        if len(directions) > len(keys):
            raise bad_request("The number of sort_keys and sort_dirs must be same")
        wrong = [way for way in directions if way not in _DIRECTIONS]
        if wrong:
            raise bad_request(f"{wrong} is invalid value for sort_dirs, valid value is 'asc' and 'desc'")
        directions += ["asc"] * (len(keys) - len(directions))
        return tuple(Sort(self._sorts[key], way == "desc") for key, way in zip(keys, directions, strict=True))

    @staticmethod
    def _asked(text: str) -> int:
        # `isdecimal` accepts digits of other scripts, and `int` reads them; both are harmless here.
        if not text.isdecimal() or len(text) > 18:
            raise bad_request(f"Limit must be an integer 0 or greater and not '{text}'")
        return int(text)


def links(base: str, pairs: Pairs, listing: Listing, page: Page) -> list[dict[str, str]]:
    """The page's links, by the reference's rule: `next` unless the page is short, `previous` unless a page walked
    backwards is short. Who did not ask for pages gets a link only if there is more.

    `base` is the collection's absolute URL.
    """
    reverse = listing.query.reverse
    if not listing.paged and not page.full:
        return []
    kept = [(name, value) for name, value in pairs if name not in ("marker", "page_reverse")]
    found = []
    if page.full or reverse:
        found.append({"rel": "next", "href": _link(base, kept, page.last, reverse=False)})
    if page.full or not reverse:
        found.append({"rel": "previous", "href": _link(base, kept, page.first, reverse=True)})
    return found


def _link(base: str, kept: Sequence[tuple[str, str]], marker: str | None, *, reverse: bool) -> str:
    pairs = list(kept)
    if marker is not None:
        pairs.append(("marker", marker))
    if reverse:
        pairs.append(("page_reverse", "True"))
    return f"{base}?{urlencode(pairs)}"


def _filter(attribute: Attribute) -> _Filter:
    kind = attribute.type
    inner = kind.inner if isinstance(kind, Nullable) else kind
    if not attribute.stored and isinstance(inner, ListOf | SetOf):
        # A computed list is asked for by what is in it.
        inner = inner.inner
    return _Filter(
        attribute.field,
        inner.parse,
        isinstance(inner, Boolean | Integer),
        isinstance(kind, Nullable),
        not attribute.stored,
    )


def _side(resource: Resource, lookup: Lookup) -> _Side:
    attribute = resource.attribute(lookup.name)
    assert attribute is not None, f"{resource.name}: look-up '{lookup.name}' is not an attribute"
    kind = _plain(attribute.type)
    assert isinstance(kind, ListOf | SetOf), f"{resource.name}: look-up '{lookup.name}' is not a list"
    inner = _plain(kind.inner)
    if not isinstance(inner, Record):
        [column] = lookup.columns
        return _Side(lookup, {column: inner.parse}, column)
    members = inner.members
    return _Side(lookup, {name: _plain(members[name]).parse for name in lookup.columns})


def _is_object(attribute: Attribute) -> bool:
    """Whether the values are objects: nothing in a query can be equal to one."""
    return isinstance(_plain(attribute.type), FreeForm | Record)


def _plain(kind: ValueType) -> ValueType:
    return kind.inner if isinstance(kind, Nullable | Cleared) else kind


def _values(name: str, one: _Filter, texts: Sequence[str]) -> tuple[Any, ...]:
    """What the texts mean. A text no row can have (a name where an ID is stored) matches nothing; a number or a
    truth value that is none is an error, as in the reference."""
    values: list[Any] = []
    for text in texts:
        empty = one.nullable and not text
        if empty:
            values.append(None)
        try:
            values.append(one.parse(text))
        except ValueError as error:
            if one.strict and not empty:
                raise InvalidInput(str(error), attribute=name) from error
    return tuple(dict.fromkeys(values))


def _side_conditions(name: str, side: _Side, texts: Sequence[str]) -> list[Condition]:
    wanted: dict[tuple[str, Op], list[Any]] = {}
    for text in texts:
        column, equals, value = (side.plain, "=", text) if side.plain else text.partition("=")
        op = Op.IN
        if column.endswith(_SUBSTRING):
            column, op = column.removesuffix(_SUBSTRING), Op.CONTAINS
        if not equals or column not in side.parse:
            known = ", ".join(f"{name}={column}=…" for column in side.lookup.columns)
            raise InvalidInput(f"'{text}' is not one of {known} or ip_address_substr=…", attribute=name)
        found = wanted.setdefault((column, op), [])
        if op is Op.CONTAINS:
            if value:
                found.append(value.lower())
            continue
        try:
            found.append(side.parse[column](value))
        except ValueError:
            # No row has such a value, and none is found.
            continue
    return [
        Condition(f"{name}.{column}", tuple(dict.fromkeys(values)), op)
        for (column, op), values in wanted.items()
    ]


def _tags(texts: Sequence[str]) -> tuple[str, ...]:
    """Tags are written `red,blue`; a parameter that is repeated adds to them."""
    return tuple(dict.fromkeys(tag for text in texts for tag in text.split(",") if tag))


def _since(text: str) -> str:
    return datetime.fromtimestamp(parse_moment(text, "changed_since") / 1000, UTC).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


def parse_moment(text: str, parameter: str) -> int:
    """A moment of a query, in unix milliseconds. A `+` of a time zone arrives as a space from careless clients.

    Raises: InvalidInput, naming the parameter.
    """
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"'{text}' is not a valid time; write it as 2026-01-31T12:00:00Z", attribute=parameter
        ) from error
