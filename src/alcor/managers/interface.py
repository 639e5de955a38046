"""How the API reaches a manager: rules are functions over a transaction, bound by name at wiring.

Create is bulk first: a single create is a bulk of one, and a bulk is one transaction.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from alcor.model.extension import Extension
from alcor.model.resource import Entity, Resource
from alcor.store.interface import Condition, Query, Store, Transaction

E = TypeVar("E", bound=Entity)

Values = dict[str, Any]
"""What a client said, validated: entity field → canonical value. On create every attribute the caller may set is
there, with its default or UNSET; on update only what was said."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `project_id` is the scope of the token, "" if it has none.

    `is_admin` is the answer of the rule `context_is_admin`; `roles` are in lower case. `service_roles` are those of
    the service that passes the request on (`X-Service-Token`), empty if the user came by himself. `domain_id` is the
    project's domain.
    `sees_all` are the kinds of which the policy shows it every row, whoever owns it (to administrators, to services
    such as Nova): what one sees one may name.
    `global_request_id` is the id of the service's own request, of which this one is a part.
    """

    project_id: str
    is_admin: bool
    request_id: str = ""
    user_id: str = ""
    roles: frozenset[str] = frozenset()
    domain_id: str = ""
    user_name: str = ""
    project_name: str = ""
    service_roles: frozenset[str] = frozenset()
    global_request_id: str = ""
    sees_all: frozenset[str] = frozenset()

    def sees_every(self, kind: str) -> bool:
        """Whether it sees every row of a kind ("port")."""
        return self.is_admin or kind in self.sees_all

    def owns(self, row: Entity) -> bool:
        """Whether a row is of its project. A caller without a project owns nothing, not even what has no project."""
        return self.project_id != "" and row.project_id == self.project_id


@dataclass(frozen=True, slots=True)
class Made:
    """A created row, and what only the answer of the create call shows (an agent's token)."""

    row: Entity
    shown: Mapping[str, Any] = field(default_factory=dict)


Create = Callable[[Transaction, Caller, Sequence[Values]], Awaitable[list[Made]]]
Update = Callable[[Transaction, Caller, Any, Values], Awaitable[Entity]]
Delete = Callable[[Transaction, Caller, Any], Awaitable[None]]
Loader = Callable[[Store, Caller, Sequence[Any]], Awaitable[dict[str, Any]]]
"""Rows → value of one computed attribute by row id; called once per answer, only if the attribute is asked for."""


@dataclass(frozen=True, slots=True)
class Joint:
    """One loader of several computed attributes, so that what all of them need is read once.

    `load`: rows, and those of `names` that are asked for → attribute → value by row id.
    """

    names: tuple[str, ...]
    load: Callable[[Store, Caller, Sequence[Any], Sequence[str]], Awaitable[dict[str, dict[str, Any]]]]


Child = Callable[[Store, Caller, Any], Awaitable[dict[str, Any]]]
"""Row → a document of its own: the whole answer of `GET <collection>/<id>/<name>`."""

Action = Callable[[Transaction, Caller, Any, Values], Awaitable[Any]]
"""What an update of attributes cannot say: `PUT <collection>/<id>/<name>`, run in one transaction, its answer
sent as it is. A row of the resource, as the answer or as a member of it, is shown as a GET shows it to this caller.
The last argument is the body, `{}` if there was none; the action validates it."""


class Rows(Protocol):
    """What reads rows: `Store.reader` outside a transaction, the transaction inside."""

    async def find(self, entity: type[E], id: str) -> E | None:
        """The row, or None."""

    async def list(self, entity: type[E], query: Query = Query()) -> list[E]:
        """Rows in the query's order."""


Sight = Callable[[Rows, Caller], Awaitable[Sequence[tuple[Condition, ...]]]]
"""What a caller who is no administrator sees beside his own rows and those shared with him by RBAC: conditions, each
tuple ANDed, the tuples ORed. `()` for nothing more."""

Source = Callable[[Store, Caller], Awaitable[Sequence[Entity]]]
"""All rows of a collection that is not stored but made from others (availability zones, IP availability). The engine
filters, sorts and pages them."""

Narrow = Callable[[Any, Query], Entity]
"""(a made row that passed the filters, the query) → the row to show: what a filter takes away inside of a row."""

BeforeList = Callable[[Store, Caller, Sequence[tuple[str, str]]], Awaitable[None]]
"""Run before a list is read; the last argument is the decoded query string. For rows that are made when they are first
looked at (a project's default security group)."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that is no JSON. `kind`: its media type, lower case, without parameters."""

    kind: str
    content: bytes


Answer = Callable[[Store, "Ask"], Awaitable[Any]]

Hidden = Callable[[Rows, Entity], Awaitable[Collection[str] | None]]
"""A row, present or past → the attributes that the caller does not see of it; None if it does not see the row."""


async def _all_hidden(_rows: Rows, _row: Entity) -> None:
    """Nothing is seen."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to a path of its own. `names`: what the path's braces named, by their words; `body`: the parsed JSON,
    an `Upload` if it is of another of the route's kinds, None if there was none; `pairs`: the query string, decoded;
    `hidden`: what the policy keeps from the caller of the rows that an answer shows.
    """

    caller: Caller
    names: Mapping[str, str]
    body: Any
    pairs: Sequence[tuple[str, str]]
    hidden: Hidden = _all_hidden


@dataclass(frozen=True, slots=True)
class Route:
    """A path that is no collection: `quotas/{project_id}/details.json`, `routes/vpcs/{vpc_id}/default`.

    `path` is absolute. `rule` is the policy rule asked before, with the target {"project_id": names["project_id"] or
    the caller's}; `default` is what it says unless an operator says otherwise. The answer is sent as JSON, None as 204.
    `kinds`: media types of bodies it takes beside JSON. `is_open`: no token is asked for; the answer decides.
    """

    method: str
    path: str
    answer: Answer
    rule: str
    default: str
    text: str
    status: int = 200
    schema: Mapping[str, Any] = field(default_factory=dict)
    body_schema: Mapping[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Manager:
    """One resource's rules. A verb that is None does not exist (405).

    `computed` and `joint`: the loaders of computed attributes, each of one or of several of them.
    `source`  makes the rows of a resource that is not stored (and is not in `model.catalogue`).
    `extensions`  those that are there because this manager is.
    """

    resource: Resource
    service: str
    create: Create | None = None
    update: Update | None = None
    delete: Delete | None = None
    computed: Mapping[str, Loader] = field(default_factory=dict)
    joint: tuple[Joint, ...] = ()
    children: Mapping[str, Child] = field(default_factory=dict)
    actions: Mapping[str, Action] = field(default_factory=dict)
    sight: Sight | None = None
    source: Source | None = None
    narrow: Narrow | None = None
    before_list: BeforeList | None = None
    extensions: tuple[Extension, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """Paths of a manager that are no collection, and the extensions that stand for them."""

    service: str
    routes: tuple[Route, ...]
    extensions: tuple[Extension, ...] = ()
