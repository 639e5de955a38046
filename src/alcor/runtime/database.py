"""Which database a region is in: SQLite in the data folder, or a PostgreSQL that several processes share."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from alcor.dataplane.share import REALIZE, SHARD, TTL_S
from alcor.goalstate.scope import SHARDS
from alcor.model.resource import Entity
from alcor.runtime.config import RegionConfig
from alcor.runtime.settings import ConfigurationError
from alcor.store.bulk import Bulk
from alcor.store.interface import Store
from alcor.store.lease import Leases
from alcor.store.sqlite import SqliteStore

_SCHEMES = ("postgresql", "postgres")


def is_shared(config: RegionConfig) -> bool:
    """Whether several processes may use the store: PostgreSQL. Raises: ConfigurationError."""
    if not config.store.url:
        return False
    # Only the scheme is repeated in a message: the rest may hold a password.
    scheme, separator, _ = config.store.url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ConfigurationError(
            f"store.url begins with '{scheme[:16]}': write postgresql://user@host/database, or nothing for SQLite"
        )
    return True


async def open_store(config: RegionConfig) -> Store:
    """The region's store.

    Raises: ConfigurationError; StoreLocked if another process has the folder; Unavailable if the database is away.
    """
    if not is_shared(config):
        return SqliteStore.open(config.data.folder)
    _require_driver()
    from alcor.store.postgres import PostgresStore

    return await PostgresStore.open(config.store.url)


def open_bulk(config: RegionConfig, entity: type[Entity]) -> AbstractAsyncContextManager[Bulk]:
    """Adds rows of one kind in great numbers, while no process has the store. Raises: as `open_store`."""
    if not is_shared(config):
        from alcor.store.sqlite.bulk import open_bulk as open_sqlite

        return open_sqlite(config.data.folder, entity)
    _require_driver()
    from alcor.store.postgres.bulk import open_bulk as open_postgres

    return open_postgres(config.store.url, entity)


def open_leases(config: RegionConfig) -> Leases:
    """Where dataplanes share their work, on PostgreSQL. It connects when it is asked."""
    _require_driver()
    from alcor.store.postgres.connection import connector
    from alcor.store.postgres.lease import PostgresLeases

    return PostgresLeases(connector(config.store.url), {SHARD: SHARDS, REALIZE: 1})


@contextlib.asynccontextmanager
async def living(config: RegionConfig) -> AsyncIterator[Callable[[], Awaitable[list[str]]]]:
    """Asks where the dataplanes are that live, by a connection of its own once it is asked; on SQLite there are none.

    It raises Unavailable if the database does not say.
    """

    async def none() -> list[str]:
        return []

    if not is_shared(config):
        yield none
        return
    leases = open_leases(config)

    async def known() -> list[str]:
        return [member.address for member in await leases.living(TTL_S)]

    try:
        yield known
    finally:
        await leases.close()


def _require_driver() -> None:
    try:
        import asyncpg  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise ConfigurationError(
            "store.url names PostgreSQL, but its driver is not installed: pip install 'alcor[region,postgres]'"
        ) from error
