"""`/ncms`: network configuration managers, and which of them serves a host."""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller, Manager, Values
from alcor.managers.plain import plain_manager
from alcor.model.errors import Conflict, NotFound, Problem
from alcor.model.host import Host
from alcor.model.ncm import NCM, Ncm
from alcor.store.interface import Store, Transaction

_URIS, _COUNTS = "ncm_uri", "ncm_hosts"


def ncm_manager() -> Manager:
    """`/ncms`."""
    return plain_manager(NCM, "node", check=_check, removal=_remove, computed={"host_count": load_counts})


async def load_counts(store: Store, _caller: Caller, rows: Sequence[Ncm]) -> dict[str, int]:
    """How many hosts name each. Cost: one indexed count."""
    counts = await store.reader.count_by(Host, "ncm_id", [row.id for row in rows])
    return {row.id: counts.get(row.id, 0) for row in rows}


async def assign(tx: Transaction, before: str | None, after: str | None) -> None:
    """A host that `before` served is served by `after` now; None: by any, or there is no such host.

    Cost:   a counter for each, so that registering many hosts costs no pass over those there are.
    Raises: NotFound; Conflict (NCM_FULL) if no host more may be assigned to the manager.
    """
    if before == after:
        return
    if before is not None:
        await _count(tx, before, -1)
    if after is None:
        return
    ncm = await tx.find(Ncm, after)
    if ncm is None:
        raise NotFound("ncm", after)
    if await _count(tx, after, 1) > ncm.capacity:
        raise Conflict(
            f"Network configuration manager {after} serves {ncm.capacity} hosts already; assign the host to another, "
            "or raise its capacity.",
            kind="ncm",
            id=after,
            problem=Problem.NCM_FULL,
        )


async def _count(tx: Transaction, ncm_id: str, more: int) -> int:
    """How many hosts a manager serves, after a change."""
    count = int(await tx.load(_COUNTS, ncm_id) or b"0") + more
    if more:
        tx.save(_COUNTS, ncm_id, b"%d" % count)
    return count


async def _check(tx: Transaction, _caller: Caller, row: Any, values: Values) -> Values:
    uri = values.get("uri")
    if uri is not None and (row is None or uri != row.uri):
        # The URI is its own owner: whoever releases it is who registered it.
        if (await tx.claimed(_URIS, [uri])).get(uri) is not None:
            raise Conflict(
                f"A network configuration manager at {uri} is registered already.",
                kind="ncm",
                problem=Problem.NAME_TAKEN,
            )
        await tx.claim(_URIS, uri, uri)
        if row is not None:
            tx.release(_URIS, row.uri)
    if row is not None and values.get("capacity", row.capacity) < row.capacity:
        count = await _count(tx, row.id, 0)
        if count > values["capacity"]:
            raise Conflict(
                f"{count} hosts are assigned to network configuration manager {row.id}, more than "
                f"{values['capacity']}; assign some to another first.",
                kind="ncm",
                id=row.id,
                problem=Problem.NCM_FULL,
            )
    return values


async def _remove(tx: Transaction, _caller: Caller, row: Ncm) -> None:
    tx.release(_URIS, row.uri)
    tx.save(_COUNTS, row.id, None)
