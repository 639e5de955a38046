"""Composition of the REST edge: every manager's endpoints and what surrounds them, as one ASGI application."""

from collections.abc import Collection as Names
from collections.abc import Mapping, Sequence

from starlette.types import ASGIApp

from alcor.api.call import Endpoint
from alcor.api.collection import Collection
from alcor.api.discovery import Discovery
from alcor.api.docs import Docs, swagger_folder
from alcor.api.gateway import Gateway
from alcor.api.limit import Limits
from alcor.api.needs import Authenticator, Ready
from alcor.api.openapi import document
from alcor.api.operations import Operations
from alcor.api.view import encode
from alcor.managers.interface import Manager
from alcor.model.errors import AlcorError
from alcor.store.interface import Store


def build(
    store: Store,
    managers: Sequence[Manager],
    authenticator: Authenticator,
    *,
    version: str,
    public_endpoint: str | None = None,
    services: Names[str] | None = None,
    ready: Ready | None = None,
    limits: Limits = Limits(),
) -> ASGIApp:
    """The application.

    public_endpoint: the URL clients reach it by, for links; by default what each request's Host header says.
    services:        serve only these managers (`Manager.service`); all by default.
    ready:           what keeps the process from serving; by default, whether the store answers.
    Raises:          ValueError if a service is not known, or two endpoints have one path.
    """
    chosen = _chosen(managers, services)
    collections = [Collection(manager, store, limits) for manager in chosen]
    described = encode(document(collections, version, limits))
    return Gateway(
        _merged(
            *(one.endpoints() for one in collections),
            Discovery(collections).endpoints(),
            Docs(described, swagger_folder()).endpoints(),
            Operations(version, ready or _answering(store)).endpoints(),
        ),
        authenticator,
        limits,
        public_endpoint=public_endpoint,
    )


def _chosen(managers: Sequence[Manager], services: Names[str] | None) -> list[Manager]:
    if services is None:
        return list(managers)
    known = {manager.service for manager in managers}
    unknown = set(services) - known
    if unknown:
        raise ValueError(f"no such services: {sorted(unknown)}; there are {sorted(known)}")
    return [manager for manager in managers if manager.service in services]


def _merged(*tables: Mapping[str, Endpoint]) -> dict[str, Endpoint]:
    merged: dict[str, Endpoint] = {}
    for table in tables:
        twice = merged.keys() & table.keys()
        if twice:
            raise ValueError(f"two endpoints have the paths {sorted(twice)}")
        merged.update(table)
    return merged


def _answering(store: Store) -> Ready:
    async def ready() -> Mapping[str, str]:
        try:
            await store.head()
        except AlcorError as error:
            return {"store": error.message}
        return {}

    return ready
