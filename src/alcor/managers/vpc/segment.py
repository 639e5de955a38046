"""The numbers that tell networks apart on the underlay: VXLAN network identifiers.

Taken by a claim in `vni:vxlan`; the owner is the network. Neither the number of networks nor of writers
matters to the cost: one random probe on a primary key.
"""

from collections.abc import Sequence

from alcor.managers.free_number import REST_S, NumberSet, Space, take_numbers
from alcor.model.errors import Conflict, Exhausted, Problem
from alcor.model.network import VNI_MAX, VNI_MIN
from alcor.store.interface import Transaction

SPACE = "vni:vxlan"
_ALL = Space(SPACE, NumberSet.of([(VNI_MIN, VNI_MAX)]), str)


async def allocate(tx: Transaction, network_ids: Sequence[str]) -> list[int]:
    """Take a free identifier for each network. Raises: Exhausted."""
    taken = await take_numbers(tx, _ALL, network_ids)
    if len(taken) < len(network_ids):
        raise Exhausted("VXLAN network identifiers", f"between {VNI_MIN} and {VNI_MAX}")
    return [int(key) for key in taken]


async def take(tx: Transaction, vni: int, network_id: str) -> None:
    """Take the identifier that was asked for, or refuse; it is never replaced by another.

    Raises: Conflict (SEGMENT_TAKEN).
    """
    if not await tx.claim(SPACE, str(vni), network_id):
        raise Conflict(
            f"Unable to create the network. VXLAN network identifier {vni} is in use by another network; "
            "choose another, or leave it out to have one allocated.",
            kind="network",
            id=network_id,
            problem=Problem.SEGMENT_TAKEN,
        )


def release(tx: Transaction, vni: int) -> None:
    """Give an identifier back; it rests, lest a lagging host deliver into its next network."""
    tx.release(SPACE, str(vni), rest_s=REST_S)
