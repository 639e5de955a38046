"""Cutting prefixes out of a pool and giving them back.

A pool keeps what is free of it, and how much each project has, in one small value beside its row: a subnet costs the
same however many the pool has given. Transactions that touch one pool follow one another, because all of them write
that value.
"""

import msgspec

from alcor.managers.free_number import NumberSet
from alcor.managers.subnetpool.prefix import QUOTA_UNIT_BITS, best_fit, set_of, span
from alcor.model.address import Cidr, network_of
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.subnetpool import SubnetPool
from alcor.store.interface import Transaction

_SPACE = "subnetpool"


class _Kept(msgspec.Struct, frozen=True):
    """`free`: inclusive ranges of addresses; `used`: project → addresses. Numbers as text: they have up to 128 bits."""

    free: tuple[tuple[str, str], ...]
    used: dict[str, str]


class PoolState:
    """What is free of a pool, and what projects have of it."""

    def __init__(self, free: NumberSet, used: dict[str, int]) -> None:
        self.free, self.used = free, used

    def take(self, cidr: Cidr, project_id: str) -> None:
        """Note that a prefix is a project's now."""
        self.free = self.free.without([span(cidr)])
        self.used[project_id] = self.used.get(project_id, 0) + _size(cidr)

    def give_back(self, cidr: Cidr, project_id: str) -> None:
        """Note that a prefix is free again."""
        self.free = NumberSet.of([*self.free.ranges, span(cidr)])
        self.used[project_id] = self.used.get(project_id, 0) - _size(cidr)
        if self.used[project_id] <= 0:
            del self.used[project_id]


async def load(tx: Transaction, pool_id: str) -> PoolState:
    """The state of a pool."""
    kept = msgspec.json.decode(await tx.load(_SPACE, pool_id) or b'{"free":[],"used":{}}', type=_Kept)
    free = NumberSet.of((int(first), int(last)) for first, last in kept.free)
    return PoolState(free, {project: int(size) for project, size in kept.used.items()})


def save(tx: Transaction, pool_id: str, state: PoolState | None) -> None:
    """Keep the state of a pool; None: the pool goes."""
    if state is None:
        tx.save(_SPACE, pool_id, None)
        return
    free = tuple((str(first), str(last)) for first, last in state.free.ranges)
    used = {project: str(size) for project, size in state.used.items()}
    tx.save(_SPACE, pool_id, msgspec.json.encode(_Kept(free, used)))


def _size(cidr: Cidr) -> int:
    return network_of(cidr).num_addresses


async def cut(tx: Transaction, pool: SubnetPool, wanted: Cidr | int | None, project_id: str) -> Cidr:
    """Take a prefix: the one named, or one of a length, or one of the pool's default length.

    Raises: InvalidInput (PREFIX_TOO_LONG, PREFIX_TOO_SHORT); Conflict (SUBNETPOOL_QUOTA, SUBNETPOOL_FULL).
    """
    named = wanted if isinstance(wanted, str) else None
    length = (
        network_of(named).prefixlen
        if named
        else wanted
        if isinstance(wanted, int)
        else pool.default_prefixlen
    )
    _check_length(pool, length)
    state = await load(tx, pool.id)
    _check_quota(pool, state, length, project_id)
    cidr = named if named is not None else best_fit(state.free, pool.ip_version, length)
    if cidr is None or not state.free.holds(*span(cidr)):
        what = f"prefix {cidr}" if cidr else f"a prefix of length /{length}"
        raise Conflict(
            f"Failed to allocate subnet: {what} is not free in subnet pool {pool.id}; name another, or add prefixes.",
            kind="subnetpool",
            id=pool.id,
            problem=Problem.SUBNETPOOL_FULL,
        )
    state.take(cidr, project_id)
    save(tx, pool.id, state)
    return cidr


async def give_back(tx: Transaction, pool_id: str, cidr: Cidr, project_id: str) -> None:
    """Return a subnet's prefix to its pool."""
    state = await load(tx, pool_id)
    state.give_back(cidr, project_id)
    save(tx, pool_id, state)


def fresh(prefixes: tuple[str, ...]) -> PoolState:
    """The state of a pool that has given nothing yet."""
    return PoolState(set_of(prefixes), {})


def _check_length(pool: SubnetPool, length: int) -> None:
    if length > pool.max_prefixlen:
        raise InvalidInput(
            f"Unable to allocate subnet with prefix length {length}, maximum allowed prefix is {pool.max_prefixlen}.",
            problem=Problem.PREFIX_TOO_LONG,
        )
    if length < pool.min_prefixlen:
        raise InvalidInput(
            f"Unable to allocate subnet with prefix length {length}, minimum allowed prefix is {pool.min_prefixlen}.",
            problem=Problem.PREFIX_TOO_SHORT,
        )


def _check_quota(pool: SubnetPool, state: PoolState, length: int, project_id: str) -> None:
    if not pool.default_quota:
        return
    bits = 32 if pool.ip_version == 4 else 128
    limit = pool.default_quota << (bits - QUOTA_UNIT_BITS[pool.ip_version])
    if state.used.get(project_id, 0) + (1 << (bits - length)) > limit:
        raise Conflict(
            f"Per-project subnet pool prefix quota exceeded: project {project_id} may take {pool.default_quota} of "
            f"subnet pool {pool.id}.",
            kind="subnetpool",
            id=pool.id,
            problem=Problem.SUBNETPOOL_QUOTA,
        )
