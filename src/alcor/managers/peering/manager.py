"""`/vpc-peerings`: one owner asks, the other accepts; what the two VPCs reach never overlaps."""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller, Made, Manager, Rows, Values
from alcor.managers.row import new_row, replace_row
from alcor.managers.vpc.block import overlap
from alcor.model.errors import Conflict, InvalidInput, NotFound, Problem
from alcor.model.network import Network
from alcor.model.resource import UNSET
from alcor.model.vpc import blocks_of
from alcor.model.vpc_peering import ACTIVE, PENDING, REJECTED, VPC_PEERING, VpcPeering
from alcor.store.interface import Condition, Query, Transaction

_PAIRS = "vpc_peering"


def manager() -> Manager:
    """`/vpc-peerings`, with `PUT …/<id>/accept_peering` and `…/reject_peering`."""
    return Manager(
        VPC_PEERING,
        "vpc",
        create=create,
        update=update,
        delete=delete,
        actions={"accept_peering": accept, "reject_peering": reject},
        sight=sight,
    )


async def sight(_rows: Rows, caller: Caller) -> Sequence[tuple[Condition, ...]]:
    """Peerings the caller's project was asked for."""
    if not caller.project_id:
        return ()
    return ((Condition("peer_project_id", (caller.project_id,)),),)


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Ask for peerings.

    Raises: NotFound for a VPC that is not the caller's, or a peer that is not of the project named; InvalidInput for a
            VPC and itself; Conflict if the two are peered or asked already, one has no block, or something overlaps.
    """
    made = []
    for values in many:
        network = await _network(tx, values["network_id"], None)
        if not (caller.is_admin or caller.owns(network)):
            raise NotFound("network", network.id)
        peer_project = values.get("peer_project_id", UNSET)
        if peer_project is UNSET:
            peer_project = network.project_id
        # Who names a VPC must know whose it is, so that nobody can ask which ids exist.
        peer = await _network(tx, values["peer_network_id"], peer_project)
        if peer.id == network.id:
            raise InvalidInput("a VPC needs no peering with itself.", attribute="peer_network_id")
        await _check(tx, network, peer)
        row = new_row(
            tx,
            caller,
            VpcPeering,
            values,
            project_id=network.project_id,
            peer_project_id=peer.project_id,
        )
        if not await tx.claim(_PAIRS, _pair(row), row.id):
            raise Conflict(
                f"VPCs {network.id} and {peer.id} have a peering already, or one was asked for.",
                kind="vpc_peering",
                problem=Problem.PEERING_EXISTS,
            )
        made.append(Made(await tx.get(VpcPeering, row.id)))
    return made


async def _network(tx: Transaction, id: str, project_id: str | None) -> Network:
    """A network of a project; None: of any. Raises: NotFound."""
    network = await tx.find(Network, id)
    if network is None or project_id not in (None, network.project_id):
        raise NotFound("network", id)
    return network


def _pair(row: VpcPeering) -> str:
    return ":".join(sorted((row.network_id, row.peer_network_id)))


async def _check(tx: Transaction, network: Network, peer: Network) -> None:
    """Raises: Conflict if one has no block, the blocks overlap, or one reaches the other's addresses elsewhere."""
    for one in (network, peer):
        if not blocks_of(one):
            raise Conflict(
                f"VPC {one.id} has no block of addresses; set its cidr or ipv6_cidr first.",
                kind="network",
                id=one.id,
                problem=Problem.PEERING_NEEDS_BLOCK,
            )
    _check_apart(network, peer)
    for near, far in ((network, peer), (peer, network)):
        for other_id in await peers_of(tx, near.id):
            if other_id != far.id:
                _check_apart(await tx.get(Network, other_id), far)


def _check_apart(one: Network, other: Network) -> None:
    for block in blocks_of(one):
        for taken in blocks_of(other):
            if overlap(block, taken):
                raise Conflict(
                    f"Block {block} of VPC {one.id} overlaps block {taken} of VPC {other.id}: packets for both would "
                    "go to one.",
                    kind="vpc_peering",
                    problem=Problem.PEERING_OVERLAP,
                )


async def peers_of(rows: Rows, network_id: str) -> list[str]:
    """The VPCs that an active peering joins to this one."""
    return [
        row.peer_network_id if row.network_id == network_id else row.network_id
        for row in await _of_network(rows, network_id)
        if row.status == ACTIVE
    ]


async def _of_network(rows: Rows, network_id: str) -> list[VpcPeering]:
    found = []
    for side in ("network_id", "peer_network_id"):
        found += await rows.list(VpcPeering, Query((Condition(side, (network_id,)),)))
    return found


async def check_unpeered(tx: Transaction, network: Network) -> None:
    """The blocks of a VPC stay as they are while a peering relies on them. Raises: Conflict (VPC_BLOCK_IN_USE)."""
    for row in await _of_network(tx, network.id):
        if row.status != REJECTED:
            raise Conflict(
                f"The blocks of VPC {network.id} cannot change: peering {row.id} relies on them; delete it first.",
                kind="network",
                id=network.id,
                problem=Problem.VPC_BLOCK_IN_USE,
            )


async def update(tx: Transaction, _caller: Caller, row: VpcPeering, values: Values) -> VpcPeering:
    """Change the name or the description."""
    return await replace_row(tx, row, values)


async def accept(tx: Transaction, _caller: Caller, row: VpcPeering, body: Values) -> dict[str, Any]:
    """The other owner wants it too. Raises: Conflict if it was answered before, or something overlaps by now."""
    _check_pending(row, body)
    await _check(tx, await tx.get(Network, row.network_id), await tx.get(Network, row.peer_network_id))
    return {"vpc_peering": await replace_row(tx, row, {"status": ACTIVE})}


async def reject(tx: Transaction, _caller: Caller, row: VpcPeering, body: Values) -> dict[str, Any]:
    """The other owner does not want it; it may be asked again. Raises: Conflict if it was answered before."""
    _check_pending(row, body)
    tx.release(_PAIRS, _pair(row))
    return {"vpc_peering": await replace_row(tx, row, {"status": REJECTED})}


def _check_pending(row: VpcPeering, body: Values) -> None:
    if body:
        raise InvalidInput(f"this call takes no members, got {sorted(body)}.", problem=Problem.BAD_REQUEST)
    if row.status != PENDING:
        raise Conflict(
            f"Peering {row.id} is {row.status}; only a pending one is accepted or rejected.",
            kind="vpc_peering",
            id=row.id,
            problem=Problem.PEERING_STATE,
        )


async def delete(tx: Transaction, _caller: Caller, row: VpcPeering) -> None:
    """Either owner ends it."""
    if row.status != REJECTED:
        tx.release(_PAIRS, _pair(row))
    tx.delete(row)
