"""A store that notes, for the request it serves, which revision it wrote and how long that took."""

import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from alcor.model.change import SYSTEM, Cut, Origin, Position
from alcor.model.resource import Entity
from alcor.store.interface import Done, Image, Keep, Observations, Reader, Store, Work, whole

T = TypeVar("T")


@dataclass(slots=True)
class Note:
    """What one request wrote: the last revision (0: nothing), and the seconds until it was durable and numbered.

    `revisions`: those that hold changes of its. `unchanged`: rows (kind, id) that were already as it wanted them.
    """

    revision: int = 0
    revisions: list[int] = field(default_factory=list)
    unchanged: list[tuple[str, str]] = field(default_factory=list)
    commit_s: float = 0.0


NOTE: ContextVar[Note | None] = ContextVar("alcor-note", default=None)
"""The note of the request at work."""


class NotedStore:
    """Implements `Store` by another one; several transactions of one request add up."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def reader(self) -> Reader:
        """As the store."""
        return self._store.reader

    @property
    def observations(self) -> Observations:
        """As the store."""
        return self._store.observations

    async def write(self, work: Work[T], origin: Origin = SYSTEM) -> Done[T]:
        """As the store; noted once it is committed."""
        note = NOTE.get()
        if note is None:
            return await self._store.write(work, origin)
        begun = time.perf_counter()
        done = await self._store.write(work, origin)
        note.commit_s += time.perf_counter() - begun
        note.revision = max(note.revision, done.revision)
        if done.unchanged is None:
            note.revisions.append(done.revision)
        else:
            note.unchanged += done.unchanged
        return done

    async def head(self) -> Position:
        """As the store."""
        return await self._store.head()

    async def image(self, entities: Sequence[type[Entity]], keep: Keep = whole) -> Image:
        """As the store."""
        return await self._store.image(entities, keep)

    async def follow(self, after: int, limit: int = 256) -> list[Cut]:
        """As the store."""
        return await self._store.follow(after, limit)

    async def new_epoch(self) -> Position:
        """As the store."""
        return await self._store.new_epoch()

    async def wait_beyond(self, after: int) -> None:
        """As the store."""
        await self._store.wait_beyond(after)

    async def close(self) -> None:
        """As the store."""
        await self._store.close()
