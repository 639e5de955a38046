"""The Elastic IP Manager's floating IPs: `/v2.0/floatingips`."""

from collections.abc import Sequence
from typing import Any

from alcor.managers.elastic_ip.association import Association, associate, bad_floating_ip
from alcor.managers.elastic_ip.extensions import FLOATING_IP_EXTENSIONS
from alcor.managers.elastic_ip.shown import load_forwardings, load_network_policies, load_port_details
from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.port.policy import check_policies
from alcor.managers.router.attached import subnets_of_network
from alcor.managers.router.ports import Ports
from alcor.managers.row import get_visible, project_of, replace_row
from alcor.model.address import Ip, ip_version
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.floatingip import FLOATING_IP_OWNER, FLOATINGIP, FloatingIp
from alcor.model.network import Network
from alcor.model.port import Port, WantedIp
from alcor.model.port_forwarding import PortForwarding
from alcor.model.resource import UNSET
from alcor.model.router import Router
from alcor.store.interface import Condition, Query, Transaction


class FloatingIps:
    """The verbs of floating IPs; they share the way to the Port Manager."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def manager(self) -> Manager:
        """`/v2.0/floatingips`."""
        return Manager(
            FLOATINGIP,
            "elastic_ip",
            create=self.create,
            update=self.update,
            delete=self.delete,
            computed={
                "port_details": load_port_details,
                "port_forwardings": load_forwardings,
                "qos_network_policy_id": load_network_policies,
            },
            extensions=FLOATING_IP_EXTENSIONS,
        )

    async def create(self, tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        """Take outer addresses, each by a port of no project, and associate them as asked.

        `elastic_ip_version` 6, which only `/elasticips` lets clients say, makes an outer address of IPv6.
        Raises: NotFound (network); InvalidInput if the network is not external or has no IPv4; as `associate`; what
                making a port raises.
        """
        made = []
        for values in many:
            await check_policies(tx, caller, [values.get("qos_policy_id")])
            row = await self._take(tx, caller, values)
            tx.insert(row)
            await _check_forwarded(tx, values)
            found = await associate(tx, caller, row, values)
            if found != Association():
                await replace_row(tx, row, _fields(found))
            made.append(Made(await tx.get(FloatingIp, row.id)))
        return made

    async def _take(self, tx: Transaction, caller: Caller, values: Values) -> FloatingIp:
        network = await get_visible(tx, caller, Network, values["floating_network_id"], kind="network")
        if not network.router_external:
            raise bad_floating_ip(f"Network {network.id} is not a valid external network")
        version = values.get("elastic_ip_version") or 4
        if all(subnet.ip_version != version for subnet in await subnets_of_network(tx, network.id)):
            raise bad_floating_ip(f"Network {network.id} does not contain any IPv{version} subnet")
        id, subnet_id = tx.new_id(), values.get("subnet_id")
        address = values.get("floating_ip_address")
        named = subnet_id is not None or address is not None
        port = await self._ports.create(
            tx,
            caller,
            project_id="",
            network_id=network.id,
            fixed_ips=(WantedIp(subnet_id, address),) if named else UNSET,
            device_id=id,
            device_owner=FLOATING_IP_OWNER,
        )
        outer = next((one for one in port.fixed_ips if ip_version(Ip(one.ip_address)) == version), None)
        if outer is None:
            raise InvalidInput(
                f"Unable to find any IPv{version} address on external network {network.id} as it was asked for.",
                problem=Problem.NO_OUTER_ADDRESS,
            )
        return FloatingIp(
            id=id,
            project_id=project_of(caller, values),
            description=values.get("description", ""),
            tags=tuple(values.get("tags", ())),
            floating_network_id=network.id,
            floating_ip_address=outer.ip_address,
            floating_port_id=port.id,
            dns_name=values.get("dns_name", ""),
            dns_domain=values.get("dns_domain", ""),
            qos_policy_id=values.get("qos_policy_id"),
        )

    async def update(self, tx: Transaction, caller: Caller, row: FloatingIp, values: Values) -> FloatingIp:
        """Associate with another port or none, or change description and policy. Raises: as `associate`; Conflict if
        it has port forwardings and is to stand for a port."""
        await check_policies(tx, caller, [values.get("qos_policy_id")])
        if values.get("port_id") is not None:
            await _check_forwarded(tx, values)
            await _check_forwards_nothing(tx, row)
        changes = dict(values)
        if "port_id" in values or "fixed_ip_address" in values:
            changes |= _fields(await associate(tx, caller, row, values))
        return await replace_row(tx, row, changes)

    async def delete(self, tx: Transaction, caller: Caller, row: FloatingIp) -> None:
        """Give the outer address back. Raises: Conflict if it has port forwardings."""
        await _check_forwards_nothing(tx, row)
        await self._release(tx, caller, row)

    async def leave_network(self, tx: Transaction, caller: Caller, network: Network) -> None:
        """An external network goes, and the floating IPs of it that no router translates with it.

        Cost: as many steps as there are of these.
        """
        where = (Condition("floating_network_id", (network.id,)), Condition("router_id", (None,)))
        for row in await tx.list(FloatingIp, Query(where)):
            await self._release(tx, caller, row)

    async def _release(self, tx: Transaction, caller: Caller, row: FloatingIp) -> None:
        port = await tx.get(Port, row.floating_port_id)
        tx.delete(row)
        await self._ports.delete(tx, caller, port)


def _fields(found: Association) -> dict[str, Any]:
    return {
        "port_id": found.port_id,
        "fixed_ip_address": found.fixed_ip_address,
        "router_id": found.router_id,
    }


async def _check_forwards_nothing(tx: Transaction, row: FloatingIp) -> None:
    found = await tx.list(PortForwarding, Query((Condition("floatingip_id", (row.id,)),), limit=1))
    if found:
        raise Conflict(
            f"Floating IP {row.id} in use by Port Forwarding resources: {found[0].id}; delete them first.",
            kind="FloatingIP",
            id=row.id,
            problem=Problem.FLOATING_IP_FORWARDS,
        )


async def _check_forwarded(tx: Transaction, values: Values) -> None:
    """Raises: InvalidInput if ports of the port are forwarded by a distributed router, which could not tell its
    answers apart."""
    port_id = values.get("port_id")
    if port_id is None:
        return
    found = await tx.list(PortForwarding, Query((Condition("internal_port_id", (port_id,)),), limit=1))
    if not found:
        return
    outer = await tx.get(FloatingIp, found[0].floatingip_id)
    router = None if outer.router_id is None else await tx.find(Router, outer.router_id)
    if router is not None and router.distributed:
        raise InvalidInput(
            f"Cannot associate floating IP to port {port_id} because it already has a Port Forwarding binding.",
            problem=Problem.PORT_HAS_FORWARDING,
        )
