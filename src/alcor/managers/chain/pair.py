"""Port pairs and groups of them: `/v2.0/sfc/port_pairs`, `/v2.0/sfc/port_pair_groups`.

Two ports are one pair (claim `port_pair`), a pair is in one group (claim `port_pair_group`), and a group's number is
its own in the region (claim `port_pair_group_number`).
"""

from collections.abc import Sequence
from typing import Any

from alcor.managers.free_number import NumberSet, Space, take_numbers
from alcor.managers.interface import Caller, Made, Values
from alcor.managers.row import get_visible, new_row, replace_row
from alcor.managers.sharing import may_use
from alcor.model.errors import Exhausted, InUse, InvalidInput, NotFound, Problem
from alcor.model.port import Port
from alcor.model.port_chain import PortPair, PortPairGroup
from alcor.store.interface import Transaction

_PAIRS, _GROUPS = "port_pair", "port_pair_group"
_NUMBERS = Space("port_pair_group_number", NumberSet.of([(1, 2**31 - 1)]), str)


async def create_pairs(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Raises: NotFound for a port; InvalidInput for ports of no device or of two, or of another pair."""
    made = []
    for values in many:
        ingress = await _port(tx, caller, values["ingress"])
        egress = await _port(tx, caller, values["egress"])
        for port, side, problem in (
            (ingress, "ingress", Problem.SFC_INGRESS_NO_HOST),
            (egress, "egress", Problem.SFC_EGRESS_NO_HOST),
        ):
            if not port.device_id:
                raise InvalidInput(
                    f"Port pair {side} port {port.id} does not belong to a host: it has no device_id.",
                    problem=problem,
                )
        if ingress.device_id != egress.device_id:
            raise InvalidInput(
                f"Port pair ingress port {ingress.id} and egress port {egress.id} not in the same host: they are of "
                f"devices {ingress.device_id} and {egress.device_id}.",
                problem=Problem.SFC_TWO_HOSTS,
            )
        row = new_row(tx, caller, PortPair, values)
        if not await tx.claim(_PAIRS, _key(row), row.id):
            other = (await tx.claimed(_PAIRS, [_key(row)]))[_key(row)]
            raise InvalidInput(
                f"Port pair with ingress port {ingress.id} and egress port {egress.id} is already used by another "
                f"port pair {other}.",
                problem=Problem.SFC_PAIR_THERE,
            )
        made.append(Made(await tx.get(PortPair, row.id)))
    return made


async def _port(tx: Transaction, caller: Caller, id: str) -> Port:
    port = await tx.find(Port, id)
    if port is None or not await may_use(tx, caller, port):
        raise NotFound("port", id, problem=Problem.SFC_PORT_MISSING)
    return port


async def update_pair(tx: Transaction, _caller: Caller, row: PortPair, values: Values) -> PortPair:
    """Change name or description."""
    return await replace_row(tx, row, values)


async def delete_pair(tx: Transaction, _caller: Caller, row: PortPair) -> None:
    """Remove a pair; a group that has it keeps it (InUse, at the flush)."""
    tx.release(_PAIRS, _key(row))
    tx.delete(row)


def _key(row: PortPair) -> str:
    return f"{row.ingress}/{row.egress}"


async def create_groups(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Raises: NotFound; InUse for a pair of another group; InvalidInput for pairs that do not go together."""
    made = []
    for values in many:
        id = tx.new_id()
        numbers = await take_numbers(tx, _NUMBERS, [id])
        if not numbers:
            raise Exhausted("port pair group number", "in the region")
        row = new_row(tx, caller, PortPairGroup, values, id=id, group_id=int(numbers[0]))
        await _check_pairs(tx, caller, row.port_pairs, tap=row.tap_enabled)
        await _take(tx, row.id, row.port_pairs)
        made.append(Made(await tx.get(PortPairGroup, row.id)))
    return made


async def update_group(tx: Transaction, caller: Caller, row: PortPairGroup, values: Values) -> PortPairGroup:
    """Raises: as `create_groups`."""
    if "port_pairs" in values:
        await _check_pairs(tx, caller, values["port_pairs"], tap=row.tap_enabled)
        for id in set(row.port_pairs) - set(values["port_pairs"]):
            tx.release(_GROUPS, id)
        await _take(tx, row.id, values["port_pairs"])
    return await replace_row(tx, row, values)


async def delete_group(tx: Transaction, _caller: Caller, row: PortPairGroup) -> None:
    """Remove a group; a chain that has it keeps it (InUse, at the flush)."""
    for id in row.port_pairs:
        tx.release(_GROUPS, id)
    tx.release(_NUMBERS.name, str(row.group_id))
    tx.delete(row)


async def _check_pairs(tx: Transaction, caller: Caller, ids: Sequence[str], *, tap: bool) -> None:
    pairs: list[Any] = [await get_visible(tx, caller, PortPair, id, kind="port_pair") for id in ids]
    if len({pair.service_function_parameters["correlation"] for pair in pairs}) > 1:
        raise InvalidInput(
            "Port pair group attempted creation included port pairs with inconsistent correlation types.",
            problem=Problem.SFC_CORRELATIONS,
        )
    if tap and len(pairs) > 1:
        raise InvalidInput(
            "Multiple port pairs in tap port-pair-group is not allowed.", problem=Problem.SFC_TAP_PAIRS
        )


async def _take(tx: Transaction, group_id: str, pairs: Sequence[str]) -> None:
    for id in pairs:
        if not await tx.claim(_GROUPS, id, group_id):
            raise InUse("port_pair", id, by="another port pair group has it")
