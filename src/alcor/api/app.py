"""Composition of the REST edge: every manager's endpoints and what surrounds them, as one ASGI application."""

from collections.abc import Collection as Names
from collections.abc import Mapping, Sequence

from starlette.types import ASGIApp

from alcor.api.access import Reach
from alcor.api.call import Endpoint
from alcor.api.collection import Collection, Surroundings
from alcor.api.discovery import Discovery
from alcor.api.docs import Docs, swagger_folder
from alcor.api.gateway import Gateway
from alcor.api.limit import Limits
from alcor.api.needs import Authenticator, DataPlane, QuotaLimit, Ready
from alcor.api.noted import NotedStore
from alcor.api.openapi import document
from alcor.api.openapi_waits import with_waits
from alcor.api.operations import Operations
from alcor.api.policy import Policy, default_rules
from alcor.api.policy.defaults import DATA_PLANE
from alcor.api.service import Routes
from alcor.api.tagging import Tagging
from alcor.api.view import encode
from alcor.api.waiting import Standings, Waits
from alcor.api.writing import Writing
from alcor.managers.interface import Manager, Service
from alcor.model.catalogue import RESOURCES
from alcor.model.errors import AlcorError
from alcor.store.interface import Store

Part = Manager | Service


def build(
    store: Store,
    managers: Sequence[Part],
    authenticator: Authenticator,
    *,
    version: str,
    public_endpoint: str | None = None,
    services: Names[str] | None = None,
    ready: Ready | None = None,
    limits: Limits = Limits(),
    overrides: Mapping[str, str] = {},
    quota_limit: QuotaLimit | None = None,
    data_plane: DataPlane | None = None,
) -> ASGIApp:
    """The application.

    public_endpoint: the URL clients reach it by, for links; by default what each request's Host header says.
    services:        serve only these managers (`Manager.service`); all by default.
    ready:           what keeps the process from serving; by default, whether the store answers.
    overrides:       an operator's policy rules, instead of the built-in ones of the same names.
    quota_limit:     how many rows a project may have; by default there is no limit.
    data_plane:      who knows what hosts have confirmed; by default nobody.
    Raises:          ValueError if a service is not known, or two endpoints have one path; PolicyError.
    """
    chosen = _chosen(managers, services)
    policy = policy_of(managers, overrides)
    # Every kind there is, also those of which only the history shows rows.
    reach = Reach(RESOURCES, policy)
    standings = Standings(data_plane, policy)
    around = Surroundings(
        NotedStore(store), limits, policy, reach.hidden, quota_limit, counts=standings.counts
    )
    collections = _collections(chosen, managers, around)
    routes = [Routes(part, around) for part in chosen if isinstance(part, Service)]

    def described() -> bytes:
        said = document(collections, [part.service for part in routes], version, limits)
        return encode(with_waits(said, collections))

    return Gateway(
        _merged(
            *(one.reading_endpoints() for one in collections),
            *(Writing(one).endpoints() for one in collections),
            *(standings.endpoints(one) for one in collections),
            *(Tagging(one).endpoints() for one in collections if one.resource.is_tagged),
            *(one.endpoints() for one in routes),
            Discovery(collections, chosen).endpoints(),
            Docs(described, swagger_folder()).endpoints(),
            Operations(version, ready or _answering(store)).endpoints(),
        ),
        authenticator,
        limits,
        public_endpoint=public_endpoint,
        reach=reach.of,
        waits=Waits(data_plane, policy),
    )


def policy_of(managers: Sequence[Part], overrides: Mapping[str, str] = {}) -> Policy:
    """Every rule: the declarations', the routes', an operator's. Raises: PolicyError."""
    defaults = default_rules([part.resource for part in managers if isinstance(part, Manager)])
    for part in managers:
        if isinstance(part, Service):
            defaults |= {route.rule: route.default for route in part.routes}
    defaults |= DATA_PLANE
    return Policy.of(defaults, overrides)


def _collections(chosen: Sequence[Part], managers: Sequence[Part], around: Surroundings) -> list[Collection]:
    """A collection per manager served; a sub-resource's parent is found also if another process serves it."""
    known: dict[str, Collection] = {}
    for part in managers:
        if isinstance(part, Manager) and part.resource.parent is None:
            known[part.resource.name] = Collection(part, around)
    found = []
    for part in chosen:
        if not isinstance(part, Manager):
            continue
        parent = part.resource.parent
        if parent is None:
            found.append(known[part.resource.name])
        elif parent.resource not in known:
            raise ValueError(f"{part.resource.name} is inside {parent.resource}, which no manager serves")
        else:
            found.append(Collection(part, around, known[parent.resource]))
    return found


def _chosen(managers: Sequence[Part], services: Names[str] | None) -> list[Part]:
    if services is None:
        return list(managers)
    known = {manager.service for manager in managers}
    unknown = set(services) - known
    if unknown:
        raise ValueError(f"no such services: {sorted(unknown)}; there are {sorted(known)}")
    return [manager for manager in managers if manager.service in services]


def _merged(*tables: Mapping[str, Endpoint]) -> dict[str, Endpoint]:
    """One table; the methods of one path may come from several places, each from one only."""
    merged: dict[str, Endpoint] = {}
    for table in tables:
        for path, endpoint in table.items():
            present = merged.get(path)
            if present is None:
                merged[path] = endpoint
                continue
            twice = present.handlers.keys() & endpoint.handlers.keys()
            if twice:
                raise ValueError(f"two endpoints have the path {path} and the methods {sorted(twice)}")
            merged[path] = Endpoint(
                present.label, {**present.handlers, **endpoint.handlers}, present.is_open and endpoint.is_open
            )
    return merged


def _answering(store: Store) -> Ready:
    async def ready() -> Mapping[str, str]:
        try:
            await store.head()
        except AlcorError as error:
            return {"store": error.message}
        return {}

    return ready
