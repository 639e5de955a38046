"""Address blocks of VPCs: every subnet lies in its network's block of its IP version, where there is one."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.model.address import Cidr, ip_version, network_of
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.network import Network
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Transaction

_BLOCKS = ("cidr", "ipv6_cidr")

Guard = Callable[[Transaction, Network], Awaitable[None]]
"""Raises if the blocks of a network cannot change: somebody above this manager relies on them."""


def lies_in(cidr: Cidr, block: Cidr) -> bool:
    """Whether a prefix is inside of a block of its IP version."""
    inner, outer = network_of(cidr), network_of(block)
    return (
        inner.version == outer.version
        and inner.prefixlen >= outer.prefixlen
        and int(outer.network_address) <= int(inner.network_address)
        and int(inner.broadcast_address) <= int(outer.broadcast_address)
    )


def overlap(one: Cidr, other: Cidr) -> bool:
    """Whether two prefixes have an address in common."""
    return lies_in(one, other) or lies_in(other, one)


def check_inside(network: Network, cidr: Cidr) -> None:
    """Raises: InvalidInput (SUBNET_OUTSIDE_VPC) if the network's block of the prefix's version does not hold it."""
    block = network.cidr if ip_version(cidr) == 4 else network.ipv6_cidr
    if block is not None and not lies_in(cidr, Cidr(block)):
        raise InvalidInput(
            f"Subnet {cidr} is not within the block {block} of VPC {network.id}; choose a prefix inside of it.",
            problem=Problem.SUBNET_OUTSIDE_VPC,
        )


def inside_blocks(subnets: Manager) -> Manager:
    """The Subnet Manager, whose new subnets lie in the blocks of their networks."""
    create = subnets.create
    assert create is not None

    async def create_inside(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        made = await create(tx, caller, many)
        for one in made:
            assert isinstance(one.row, Subnet)
            # After the fact, because a pool may have chosen the prefix; a refusal keeps nothing.
            check_inside(await tx.get(Network, one.row.network_id), Cidr(one.row.cidr))
        return made

    return replace(subnets, create=create_inside)


async def check_change(tx: Transaction, row: Network, values: Values, guard: Guard) -> None:
    """Raises: Conflict if a subnet of the network lies outside of a new block; what `guard` raises."""
    if all(values.get(name, getattr(row, name)) == getattr(row, name) for name in _BLOCKS):
        return
    await guard(tx, row)
    for subnet in await tx.list(Subnet, Query((Condition("network_id", (row.id,)),))):
        block = values.get(name := _BLOCKS[subnet.ip_version == 6], getattr(row, name))
        if block is not None and not lies_in(Cidr(subnet.cidr), Cidr(block)):
            raise Conflict(
                f"The block {block} does not hold subnet {subnet.id} ({subnet.cidr}) of VPC {row.id}; delete that "
                "subnet first, or choose a larger block.",
                kind="network",
                id=row.id,
                problem=Problem.VPC_BLOCK_IN_USE,
            )
