"""The QoS policy of a port: one the caller may use."""

from collections.abc import Iterable

from alcor.managers.interface import Caller
from alcor.managers.row import get_visible
from alcor.model.catalogue import BY_NAME
from alcor.model.errors import NotFound
from alcor.store.interface import Transaction

_KIND = "qos_policy"


async def check_policies(tx: Transaction, caller: Caller, ids: Iterable[str | None]) -> None:
    """Raises: NotFound for a policy that is not there or not shared with the caller."""
    for id in {id for id in ids if id}:
        resource = BY_NAME.get(_KIND)
        if resource is None:
            raise NotFound(_KIND, id)
        await get_visible(tx, caller, resource.entity, id, kind=resource.error_name or resource.name)
