"""How the API reaches a manager: rules are functions over a transaction, bound by name at wiring.

Create is bulk first: a single create is a bulk of one, and a bulk is one transaction.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alcor.model.resource import Entity, Resource
from alcor.store.interface import Store, Transaction

Values = dict[str, Any]
"""What a client said, validated: entity field → canonical value. On create every attribute the caller may set is
there, with its default or UNSET; on update only what was said."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `project_id` is the scope of the token, "" if it has none.

    `is_admin` is the answer of the rule `context_is_admin`; `roles` are in lower case. `service_roles` are those of
    the service that passes the request on (`X-Service-Token`), empty if the user came by himself.
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


@dataclass(frozen=True, slots=True)
class Made:
    """A created row, and what only the answer of the create call shows (an agent's token)."""

    row: Entity
    shown: Mapping[str, Any] = field(default_factory=dict)


Create = Callable[[Transaction, Caller, Sequence[Values]], Awaitable[list[Made]]]
Update = Callable[[Transaction, Caller, Any, Values], Awaitable[Entity]]
Delete = Callable[[Transaction, Caller, Any], Awaitable[None]]
Loader = Callable[[Store, Sequence[Any]], Awaitable[dict[str, Any]]]
"""Rows → value of one computed attribute by row id; called once per answer, only if the attribute is asked for."""

Child = Callable[[Store, Any], Awaitable[dict[str, Any]]]
"""Row → a document of its own: `GET <collection>/<id>/<name>` answers `{<name>: document}`."""

Action = Callable[[Transaction, Caller, Any, Values], Awaitable[dict[str, Any]]]
"""What an update of attributes cannot say: `PUT <collection>/<id>/<name>`, run in one transaction, its answer
sent as it is. The last argument is the body, `{}` if there was none; the action validates it."""


@dataclass(frozen=True, slots=True)
class Manager:
    """One resource's rules. A verb that is None does not exist (405)."""

    resource: Resource
    service: str
    create: Create | None = None
    update: Update | None = None
    delete: Delete | None = None
    computed: Mapping[str, Loader] = field(default_factory=dict)
    children: Mapping[str, Child] = field(default_factory=dict)
    actions: Mapping[str, Action] = field(default_factory=dict)
