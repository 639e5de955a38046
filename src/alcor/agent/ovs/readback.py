"""What is ours in the switch, compared with what should be: by bytes, as `oxm` and `actions` encode it.

Pure but for the pauses that let other tasks run between slices of a large table.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from alcor.agent.driver import FlowDiff, RawKey, SwitchError
from alcor.agent.ovs.actions import encode_instructions
from alcor.agent.ovs.groups import GroupDesc, describe
from alcor.agent.ovs.openflow import FlowDesc, decode_flow_descs, render_flow
from alcor.agent.ovs.oxm import Unencodable, canonical, encode_oxms, without_packet_type
from alcor.pipeline.flow import Flow, FlowKey, GroupSpec, MeterSpec

_SLICE: Final = 1_000
"""Flows handled between two pauses: about 5 ms."""

_Key = tuple[int, int, bytes]
_NO_TIMEOUTS: Final = (0, 0)


async def _encode_desired(desired: Mapping[FlowKey, Flow]) -> dict[_Key, tuple[Flow, bytes]]:
    """Table, priority and encoded match → the flow and its encoded instructions."""
    wanted: dict[_Key, tuple[Flow, bytes]] = {}
    for number, flow in enumerate(desired.values()):
        if number % _SLICE == 0:
            await asyncio.sleep(0)
        try:
            key = (flow.table, flow.priority, encode_oxms(flow.match))
            wanted[key] = (flow, encode_instructions(flow.actions))
        except Unencodable as error:
            raise SwitchError(f"{render_flow(flow)} cannot be sent: {error}") from error
    return wanted


def _is_as_wanted(have: FlowDesc, flow: Flow, instructions: bytes) -> bool:
    return have.cookie == flow.cookie and have.instructions == instructions and have.timeouts == _NO_TIMEOUTS


async def diff_flows(desired: Mapping[FlowKey, Flow], parts: Sequence[bytes]) -> FlowDiff:
    """What to put and remove so that the described flows become the desired ones.

    Parts:   multipart bodies with flow descriptions, of our flows only.
    Cost:    about 10 µs per desired flow.
    Raises:  SwitchError naming a flow that cannot be encoded.
    """
    wanted = await _encode_desired(desired)
    unexplained: list[FlowDesc] = []
    for part in parts:
        await asyncio.sleep(0)
        for have in decode_flow_descs(part):
            key = (have.table, have.priority, without_packet_type(have.oxms))
            found = wanted.get(key)
            if found is None:
                unexplained.append(have)
            elif _is_as_wanted(have, *found):
                del wanted[key]
    remove = _explain_reordered(wanted, unexplained) if unexplained else []
    return FlowDiff(put=[flow for flow, _ in wanted.values()], remove=remove)


def _explain_reordered(
    wanted: dict[_Key, tuple[Flow, bytes]], unexplained: Sequence[FlowDesc]
) -> list[RawKey]:
    """Find flows whose match is a wanted one with its terms in another order; the rest is to be removed."""
    by_set = {(table, priority, canonical(oxms)): (table, priority, oxms) for table, priority, oxms in wanted}
    remove: list[RawKey] = []
    for have in unexplained:
        key = by_set.get((have.table, have.priority, canonical(have.oxms)))
        if key is None:
            remove.append(RawKey(have.table, have.priority, have.oxms))
        elif _is_as_wanted(have, *wanted[key]):
            del wanted[key]
    return remove


def diff_meters(wanted: Sequence[MeterSpec], have: Mapping[int, MeterSpec | None]) -> list[MeterSpec]:
    """The meters that are missing or differ."""
    return [meter for meter in wanted if have.get(meter.id) != meter]


def diff_groups(wanted: Sequence[GroupSpec], have: Mapping[int, GroupDesc]) -> list[GroupSpec]:
    """The groups that are missing or differ. Raises: SwitchError naming one that cannot be encoded."""
    try:
        return [group for group in wanted if have.get(group.id) != describe(group)]
    except Unencodable as error:
        raise SwitchError(f"a group cannot be sent: {error}") from error


def find_stale(have: Iterable[int], wanted: Iterable[int], ours: range) -> tuple[int, ...]:
    """The numbers that are ours and that nobody wants; others' are left alone."""
    kept = set(wanted)
    return tuple(sorted(number for number in have if number in ours and number not in kept))
