"""A desk for tests of the agent's services: a view, numbers, and nothing to send."""

from dataclasses import dataclass, field

import msgspec

from alcor.agent.handler import Outcome
from alcor.goalstate.item import Address, LocalPort
from alcor.model.address import ip_of_int
from alcor.pipeline.host_service import near_ipv4
from alcor.pipeline.view import Allocation, NetworkView, View
from tests.support.agent import A_REGION, local_port, neighbour, network, subnet

PORT = local_port(
    1,
    addresses=(Address("subnet", "10.0.0.5"),),
    device_id="instance",
    project_id="project",
    dns_name="vm",
    name="my vm",
)
NEAR = str(ip_of_int(near_ipv4(7, 0), 4))
"""Where PORT (key 7) asks from."""


@dataclass
class FakeDesk:
    """As `Desk`."""

    view: View
    allocation: Allocation = field(default_factory=Allocation)

    def carry_out(self, outcome: Outcome) -> None:
        """The services send no frames."""
        raise AssertionError(outcome)


def a_desk(*more: LocalPort, **region: object) -> FakeDesk:
    """PORT with key 7 on a network with the domain `vpc.example` and the name `web`; further ports from key 8."""
    view = View(region=msgspec.structs.replace(A_REGION, **region))
    found = NetworkView(network(dns_domain="vpc.example."))
    found.subnets["subnet"] = subnet()
    found.neighbours["web"] = neighbour(2, dns_name="web", ips=("10.0.0.2",))
    view.networks["net"] = found
    for port in (PORT, *more):
        view.ports[port.id] = port
    keys = {port.id: 7 + number for number, port in enumerate((PORT, *more))}
    return FakeDesk(view, Allocation(port_keys=keys, network_keys={"net": 1}, metadata_ofport=2))
