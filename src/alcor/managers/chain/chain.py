"""Port chains: `/v2.0/sfc/port_chains`.

A classifier is of one chain (claim `port_chain_flow`), and a chain's number is its own in the region (claim
`port_chain_number`).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from alcor.managers.chain.flow import overlap
from alcor.managers.free_number import NumberSet, Space, take_numbers
from alcor.managers.interface import Caller, Made, Values
from alcor.managers.row import get_visible, new_row, project_of, replace_row
from alcor.model.errors import InUse, InvalidInput, Problem
from alcor.model.flow_classifier import FlowClassifier
from alcor.model.port_chain import CHAIN_ID_MAX, PortChain, PortPair, PortPairGroup
from alcor.store.interface import Condition, Query, Transaction

_FLOWS = "port_chain_flow"
_NUMBERS = Space("port_chain_number", NumberSet.of([(1, CHAIN_ID_MAX)]), str)


async def create_chains(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Raises: NotFound; InvalidInput and InUse for groups or classifiers that cannot be in the chain, or its number."""
    made = []
    for values in many:
        id, project_id = tx.new_id(), project_of(caller, values)
        groups = await _groups(tx, caller, id, values["port_pair_groups"])
        await _check_correlation(tx, groups, values["chain_parameters"]["correlation"])
        await _check_flows(tx, caller, id, project_id, values["flow_classifiers"])
        number = await _number(tx, id, values["chain_id"])
        row = new_row(tx, caller, PortChain, values, id=id, chain_id=number)
        await _take(tx, id, row.flow_classifiers)
        made.append(Made(await tx.get(PortChain, row.id)))
    return made


async def update_chain(tx: Transaction, caller: Caller, row: PortChain, values: Values) -> PortChain:
    """Raises: as `create_chains`."""
    if "port_pair_groups" in values:
        groups = await _groups(tx, caller, row.id, values["port_pair_groups"])
        await _check_correlation(tx, groups, row.chain_parameters["correlation"])
    if "flow_classifiers" in values:
        flows = values["flow_classifiers"]
        await _check_flows(tx, caller, row.id, row.project_id, flows)
        for id in set(row.flow_classifiers) - set(flows):
            tx.release(_FLOWS, id)
        await _take(tx, row.id, flows)
    return await replace_row(tx, row, values)


async def delete_chain(tx: Transaction, _caller: Caller, row: PortChain) -> None:
    """Remove a chain; its groups and classifiers stay."""
    for id in row.flow_classifiers:
        tx.release(_FLOWS, id)
    tx.release(_NUMBERS.name, str(row.chain_id))
    tx.delete(row)


async def _number(tx: Transaction, chain: str, wanted: int) -> int:
    if wanted:
        if not await tx.claim(_NUMBERS.name, str(wanted), chain):
            other = (await tx.claimed(_NUMBERS.name, [str(wanted)]))[str(wanted)]
            raise InvalidInput(
                f"Chain id {wanted} conflicts with chain id in port chain {other}.",
                problem=Problem.SFC_CHAIN_NUMBER,
            )
        return wanted
    numbers = await take_numbers(tx, _NUMBERS, [chain])
    if not numbers:
        raise InvalidInput(
            f"Port chain {chain} no available chain id: all {CHAIN_ID_MAX} are taken.",
            problem=Problem.SFC_CHAIN_NUMBERS,
        )
    return int(numbers[0])


async def _groups(tx: Transaction, caller: Caller, chain: str, ids: Sequence[str]) -> list[PortPairGroup]:
    if not ids:
        raise InvalidInput("Port pair group is not specified in port chain.", problem=Problem.SFC_NO_GROUPS)
    groups: list[Any] = [
        await get_visible(tx, caller, PortPairGroup, id, kind="port_pair_group") for id in ids
    ]
    if any(one.tap_enabled and after.tap_enabled for one, after in pairwise(groups)):
        raise InvalidInput(
            "Consecutive tap port pair groups in a port chain are not supported.", problem=Problem.SFC_TAPS
        )
    for other in await tx.list(PortChain, Query((Condition("port_pair_groups.id", (ids[0],)),))):
        if other.id != chain and tuple(other.port_pair_groups) == tuple(ids):
            raise InUse(
                "port_pair_groups",
                ", ".join(ids),
                by=f"port chain {other.id}",
                problem=Problem.SFC_SAME_GROUPS,
            )
    return groups


async def _check_correlation(tx: Transaction, groups: Sequence[PortPairGroup], correlation: str) -> None:
    for group in groups:
        for id in group.port_pairs:
            pair = await tx.get(PortPair, id)
            if pair.service_function_parameters["correlation"] not in (None, correlation):
                raise InvalidInput(
                    f"Port chain included a port pair group ({group.id}) with a different protocol used as "
                    f"correlation type than the chain's {correlation}.",
                    problem=Problem.SFC_CHAIN_CORRELATION,
                )


async def _check_flows(
    tx: Transaction, caller: Caller, chain: str, project_id: str, ids: Sequence[str]
) -> None:
    """Raises: NotFound; InvalidInput if a packet could be in two chains of the project."""
    flows: list[Any] = [
        await get_visible(tx, caller, FlowClassifier, id, kind="flow_classifier") for id in ids
    ]
    if not flows:
        return
    for other in await tx.list(PortChain, Query((Condition("project_id", (project_id,)),))):
        if other.id == chain:
            continue
        for id in other.flow_classifiers:
            theirs = await tx.get(FlowClassifier, id)
            mine = next((one for one in flows if one.id != id and overlap(one, theirs)), None)
            if mine is not None:
                raise InvalidInput(
                    f"Flow classifier {mine.id} conflicts with flow classifier {id} in port chain {other.id}.",
                    problem=Problem.SFC_FLOWS,
                )


async def _take(tx: Transaction, chain: str, flows: Sequence[str]) -> None:
    for id in flows:
        if not await tx.claim(_FLOWS, id, chain):
            raise InUse("flow_classifier", id, by="another port chain has it")
