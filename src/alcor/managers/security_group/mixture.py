"""Stateful and stateless groups do not meet on one port: whether an answer is let through would depend on both."""

from collections.abc import Sequence

from alcor.model.errors import Conflict, Problem
from alcor.model.security_group import SecurityGroup
from alcor.store.interface import Transaction


async def check_not_mixed(tx: Transaction, group_ids: Sequence[str]) -> None:
    """Raises: Conflict if some of the groups one port is to be in are stateful and some are not."""
    if len(group_ids) < 2:
        return
    groups = [await tx.find(SecurityGroup, id) for id in group_ids]
    if len({group.stateful for group in groups if group is not None}) > 1:
        raise Conflict(
            "Cannot apply both stateful and stateless security groups on the same port at the same time; "
            "choose groups of one kind.",
            kind="security_group",
            problem=Problem.SG_CONFLICT,
        )
