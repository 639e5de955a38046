"""Who asks a service of the host: the local port behind a near address, and how much it may have at once.

Shared by the metadata service and the name server, which both know their clients by source address only.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from alcor.agent.handler import Desk
from alcor.goalstate.item import LocalPort
from alcor.pipeline.host_service import key_of


@dataclass(slots=True)
class Askers:
    """Near addresses to ports. Shape: the port keys turned round, made anew when a look-up finds them changed."""

    desk: Desk
    _ports: dict[int, str] = field(default_factory=dict)

    def find(self, address: str) -> LocalPort | None:
        """The open local port that asks from this address; None if there is none (any more).

        Cost: O(1), and O(ports) where the keys have changed.
        """
        key = key_of(address.partition("%")[0])
        if key is None:
            return None
        keys: Mapping[str, int] = self.desk.allocation.port_keys
        port_id = self._ports.get(key)
        if port_id is None or keys.get(port_id) != key:
            self._ports = {number: id for id, number in keys.items()}
            port_id = self._ports.get(key)
        view = self.desk.view
        port = None if port_id is None else view.ports.get(port_id)
        return port if port is not None and port.network_id in view.networks else None


class Full(Exception):  # reads as what it says
    """So much is being done already, by this port or by all together, that no more is begun."""


@dataclass(slots=True)
class Places:
    """A bound on what is done at once: by all ports together, and by each."""

    all_max: int
    port_max: int
    taken: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def one(self, port_id: str) -> Iterator[None]:
        """Take a place for as long as the block runs. Raises: Full."""
        if self.taken.total() >= self.all_max or self.taken[port_id] >= self.port_max:
            raise Full
        self.taken[port_id] += 1
        try:
            yield
        finally:
            self.taken[port_id] -= 1
            if not self.taken[port_id]:
                del self.taken[port_id]
