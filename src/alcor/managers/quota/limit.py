"""The limits that hold for a project: its own, else the region's."""

from collections.abc import Mapping

from alcor.managers.interface import Rows
from alcor.model.catalogue import RESOURCES
from alcor.model.quota import UNLIMITED, Quota
from alcor.store.interface import Condition, Query, Transaction

# What the reference server gives a project unless an operator says otherwise. What is not named is unlimited.
REFERENCE: Mapping[str, int] = {
    "network": 100,
    "subnet": 100,
    "port": 500,
    "router": 10,
    "floatingip": 50,
    "security_group": 10,
    "security_group_rule": 100,
    "rbac_policy": 10,
    "firewall_group": 10,
    "firewall_policy": 10,
    "firewall_rule": 100,
    "flow_classifier": 100,
    "port_pair": 100,
    "port_pair_group": 10,
    "port_chain": 10,
}


def names() -> list[str]:
    """Every name that is counted, in the order of the catalogue."""
    return [resource.quota for resource in RESOURCES if resource.quota]


class Limits:
    """Limits of projects.

    `defaults`: quota name → limit where a project has none of its own.
    """

    def __init__(self, defaults: Mapping[str, int] = REFERENCE) -> None:
        self._defaults = {name: defaults.get(name, UNLIMITED) for name in names()}

    @property
    def defaults(self) -> dict[str, int]:
        """The region's limits by name."""
        return dict(self._defaults)

    async def of(self, tx: Transaction, project_id: str, name: str) -> int:
        """How many rows of a quota name the project may have; -1: any number. Cost: one read, remembered."""
        row = await find_own(tx, project_id)
        own = None if row is None else row.limits.get(name)
        return self._defaults.get(name, UNLIMITED) if own is None else own

    def merged(self, row: Quota | None) -> dict[str, int]:
        """All limits of a project whose own are `row`."""
        own = {} if row is None else row.limits
        return {name: own.get(name, limit) for name, limit in self._defaults.items()}


async def find_own(rows: Rows, project_id: str) -> Quota | None:
    """A project's own limits, None if it has none."""
    found = await rows.list(Quota, Query((Condition("project_id", (project_id,)),), limit=1))
    return found[0] if found else None
