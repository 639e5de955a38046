"""Leases: which of several equal processes has which share of a work, by the database's clock.

A lease is a (kind, number). Whoever takes one gets a generation for it that is higher than any before (I9), and a term
that ends unless it is renewed. A holder must stop before its term ends by its *own* monotonic clock, counted from
before it asked; then no two ever act at once, whatever their clocks say, as long as clocks run equally fast.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol

import msgspec


class LeaseName(NamedTuple):
    """A lease: `number` counts those of a kind from 0."""

    kind: str
    number: int


class LeaseMember(msgspec.Struct, frozen=True, gc=False):
    """A process that takes leases. `address`: where others find it. `is_ready`: whether it is to have a share."""

    id: str
    address: str
    is_ready: bool


class LeaseStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What the database answered.

    held:       lease → generation, of who asked.
    others:     the other members whose word is not older than a term.
    free_in_s:  when the first lease of another one ends if it is not renewed; None: there is none.
    sole:       kind → id of who held it just before, of kinds with one lease.
    head:       the last revision of the log.
    """

    held: dict[LeaseName, int]
    others: list[LeaseMember]
    free_in_s: float | None
    sole: dict[str, str]
    head: int


class Leases(Protocol):
    """The table of leases. Law: of one lease no two terms overlap, and each term's generation is its own."""

    async def renew(self, member: LeaseMember, keep: Collection[LeaseName], ttl_s: float) -> LeaseStanding:
        """In one statement: say that `member` lives, renew what it keeps, let go of what else it holds, and, if it is
        ready, take free leases of each kind up to its share, ceil(leases of the kind / ready members).

        Raises: Unavailable; nothing is known of what was done then, and what was not kept is let go of next time.
        """

    async def extend(self, member_id: str, ttl_s: float) -> dict[LeaseName, int]:
        """Say that a member lives, and renew what it holds: nothing is taken and nothing let go of. Returns what was
        renewed, by generation; what another connection is just renewing, giving up or taking is left out.

        Raises: Unavailable.
        """

    async def living(self, ttl_s: float) -> list[LeaseMember]:
        """The members whose word is not older than `ttl_s`, those that are ready first. Raises: Unavailable."""

    async def leave(self, member_id: str) -> None:
        """Let go of everything at once. Raises: Unavailable."""

    async def close(self) -> None:
        """End the connection."""
