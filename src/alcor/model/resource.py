"""One declaration per resource: what callers see of an entity.

From a `Resource` the API derives validation, defaults, visibility, filters, field selection, sorting,
paging and OpenAPI; the store derives the table, its columns and its indexes; the CLI its columns.
What is stored is the *entity*, a frozen `msgspec.Struct` whose field names are the attribute names with
`:` written `_`. Rules and loaders are functions in `managers`, bound by name at wiring.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import msgspec

from alcor.model.value import ValueType


class Unset(Enum):
    """The caller said nothing about an attribute, which is not the same as null."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class Required(Enum):
    """The attribute must be named on create."""

    REQUIRED = "required"


REQUIRED: Final = Required.REQUIRED


class Who(Enum):
    """Who may set (or see) an attribute."""

    NOBODY = "nobody"
    ADMIN = "admin"
    ANYONE = "anyone"


class Entity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What every stored row has. `revision_number` is the API's counter, not the region's revision.

    Times are UTC, ISO 8601 with seconds and `Z`, as the Networking API shows them. `tags` stay empty where the
    resource has none.
    """

    id: str
    project_id: str = ""
    name: str = ""
    description: str = ""
    revision_number: int = 0
    created_at: str = ""
    updated_at: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartOf:
    """Derives an attribute from a part that few rows have: member `name` of `row.<field>`, or of `nothing` without one.

    A function would do; of this the API can see that most rows show the same, and need not ask each of them.
    """

    field: str
    name: str
    nothing: Any

    def __call__(self, row: Any) -> Any:
        """The value."""
        return getattr(getattr(row, self.field) or self.nothing, self.name)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One member of a resource as clients see it.

    `default`  a value, REQUIRED, or UNSET: then the manager decides (an allocated MAC, a gateway).
    `stored`   False: computed. With `derive` it is a pure function of the row; without, a loader in
               `managers` fills it in batches, only when it is asked for.
    `column`   True: a typed, indexed column. What is not a column filters more slowly, inside the document.
    `refers`   the resource name a foreign key points to.
    `secret`   never shown in the history of changes.
    """

    name: str
    type: ValueType
    default: Any = UNSET
    create: Who = Who.ANYONE
    update: Who = Who.ANYONE
    see: Who = Who.ANYONE
    filters: bool = True
    sorts: bool = True
    stored: bool = True
    column: bool = False
    refers: str = ""
    secret: bool = False
    derive: Callable[[Any], Any] | None = None
    text: str = ""

    @property
    def field(self) -> str:
        """The entity's field: the attribute name as a Python identifier."""
        return self.name.replace(":", "_")


@dataclass(frozen=True, slots=True)
class Lookup:
    """A side table for a list inside the row, so that `fixed_ips=ip_address=…` is an index look-up.

    `rows` maps an entity to tuples, one value per column. Filters name it `<name>.<column>`.
    """

    name: str
    columns: tuple[str, ...]
    rows: Callable[[Any], list[tuple[Any, ...]]]
    refers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parent:
    """The collection a sub-resource lives in: `<parent's path>/{id}/<collection>[/{key}]`.

    `resource` is the parent's name, `field` the entity's field that holds the parent's id. A child is seen by who sees
    the parent; a change of it adds 1 to the parent's revision_number if `bumps`.
    """

    resource: str
    field: str
    bumps: bool = True


@dataclass(frozen=True, slots=True)
class Resource:
    """A collection of the API. `name` is also the row's kind in the change log and in `NotFound`.

    `collection`  its name in paths; in bodies, `-` is written `_`.
    `member`      the key of one in a body; by default `name`.
    `key`         the attribute by which a path names one; unique within the parent for a sub-resource.
    `error_name`  how error types and sentences call it ("QosPolicy"); by default made from `name`.
    `quota`       the name under which rows are counted and limited per project; "" if they are not.
    `shared_as`   the RBAC actions by which other projects see a row (`access_as_shared` …); empty: never shared.
    `policy`      rules that differ from what is derived: short key ("get", "update:name") → expression.
    `view_of`     the name of the resource whose rows these are, seen at another path; it asks that one's policy rules.
    `bulk_path`   whether `<collection>/bulk` takes the calls that are about many, beside the collection itself.
    """

    name: str
    collection: str
    entity: type[Entity]
    attributes: tuple[Attribute, ...]
    lookups: tuple[Lookup, ...] = ()
    prefix: str = "/v2.0"
    columns_shown: tuple[str, ...] = ("id", "name")
    text: str = ""
    member: str = ""
    key: str = "id"
    error_name: str = ""
    parent: Parent | None = None
    quota: str = ""
    shared_as: tuple[str, ...] = ()
    policy: Mapping[str, str] = field(default_factory=dict)
    view_of: str = ""
    bulk_path: bool = False

    @property
    def kind(self) -> str:
        """What its rows are called in the change log, in RBAC policies and in other resources' `refers`."""
        return self.view_of or self.name

    def attribute(self, name: str) -> Attribute | None:
        """The attribute called `name`; `tenant_id` is another name of `project_id`."""
        wanted = "project_id" if name == "tenant_id" else name
        return next((a for a in self.attributes if a.name == wanted), None)

    @property
    def member_key(self) -> str:
        """The key of one resource in a body."""
        return self.member or self.name

    @property
    def collection_key(self) -> str:
        """The key of a list of them in a body."""
        return self.collection.replace("-", "_")

    @property
    def is_tagged(self) -> bool:
        """Whether it has the attribute `tags`, and with it the paths and filters of tags."""
        return any(a.name == "tags" for a in self.attributes)
