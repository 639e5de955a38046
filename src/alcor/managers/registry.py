"""All managers, bound to one another: what each must know of a manager above it comes as an argument here."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from alcor.managers.audit import service as audit
from alcor.managers.bgp import manager as bgp
from alcor.managers.bgpvpn import manager as bgpvpn
from alcor.managers.bgpvpn.associated import guarded
from alcor.managers.chain import family as chain
from alcor.managers.elastic_ip import family as elastic_ip
from alcor.managers.elastic_ip import ranges as elastic_ip_ranges
from alcor.managers.elastic_ip.manager import FloatingIps
from alcor.managers.elastic_ip.released import disassociate, follow_addresses
from alcor.managers.epoch import service as epoch
from alcor.managers.firewall import family as firewall
from alcor.managers.firewall.group import leave_group
from alcor.managers.flavor.manager import family as flavors
from alcor.managers.interface import Manager, Service
from alcor.managers.local_ip import manager as local_ip
from alcor.managers.local_ip.manager import leave
from alcor.managers.mac import manager as mac
from alcor.managers.mac import own as own_mac
from alcor.managers.mac.allocation import RESERVED
from alcor.managers.metering import manager as metering
from alcor.managers.network_acl import manager as network_acl
from alcor.managers.node import agents
from alcor.managers.node import manager as node
from alcor.managers.node.authority import Certifier
from alcor.managers.node.invite import invite_manager
from alcor.managers.node.join import join_service
from alcor.managers.node.ncm import ncm_manager
from alcor.managers.node.upload import upload_service
from alcor.managers.peering import manager as peering
from alcor.managers.port import manager as port
from alcor.managers.port import standby
from alcor.managers.port.evict import evict_service
from alcor.managers.private_ip import availability, usage
from alcor.managers.private_ip import manager as private_ip
from alcor.managers.private_ip.ranges import range_manager
from alcor.managers.qos import family as qos
from alcor.managers.qos.attachment import complete_network
from alcor.managers.quota import service as quota
from alcor.managers.quota.limit import Limits
from alcor.managers.rbac import manager as rbac
from alcor.managers.route_table import effective
from alcor.managers.route_table import manager as route_table
from alcor.managers.router import family as router
from alcor.managers.router import gateway_info
from alcor.managers.router.ndp_proxy import forget_port
from alcor.managers.router.ports import Ports
from alcor.managers.security_group import binding
from alcor.managers.security_group import family as security_group
from alcor.managers.security_group.log import forget_logs_of_port
from alcor.managers.subnet import manager as subnet
from alcor.managers.subnet import own as own_subnet
from alcor.managers.subnet.leaving import emptying, with_leaving
from alcor.managers.subnetpool import manager as subnetpool
from alcor.managers.subnetpool import scope as address_scope
from alcor.managers.tap import manager as tap
from alcor.managers.topology import service as topology
from alcor.managers.trace import service as trace
from alcor.managers.trace.service import Tracer
from alcor.managers.trunk import manager as trunk
from alcor.managers.views import views
from alcor.managers.vpc import manager as vpc
from alcor.managers.vpc import own as own_vpc
from alcor.managers.vpc import ranges, segments
from alcor.managers.vpc.block import inside_blocks
from alcor.managers.vpc.settings import NetworkSettings
from alcor.managers.vpn import manager as vpn
from alcor.managers.vpn.guard import with_vpns
from alcor.model.address import Mac
from alcor.model.host import NODE
from alcor.model.ip_range import IPS_RANGE
from alcor.model.mac_range import MACS_RANGE
from alcor.model.rbac_policy import AS_EXTERNAL

# What is kept of a subnet beside its row, and goes with it or keeps it.
_LEAVING = (vpn.keep_subnet, route_table.leave, network_acl.leave)


def managers(
    *,
    underlay_mtu_bytes: int | None = None,
    reserved_macs: Iterable[Mac] = RESERVED,
    network: NetworkSettings = NetworkSettings(),
    quota_limits: Limits | None = None,
    tracer: Tracer | None = None,
    certifier: Certifier | None = None,
    hosts: epoch.Hosts | None = None,
) -> tuple[Manager | Service, ...]:
    """Every manager that has an endpoint, parents before children: a line per family.

    `network`: what the configuration says of networks; `underlay_mtu_bytes`: another value of its `tunnel_mtu_bytes`.
    `reserved_macs`: never given to a port; the address that answers DHCP for the hosts must be among them.
    `quota_limits`: what projects may have; by default what the reference server gives them.
    `certifier`: who certifies hosts; by default nobody does.
    `tracer`: who answers traces; None where the process does not hold the goal state. `hosts`: who can ask agents.
    """
    if underlay_mtu_bytes is not None:
        network = replace(network, tunnel_mtu_bytes=underlay_mtu_bytes)
    reserved = frozenset(reserved_macs)
    above_ports = (leave_group, tap.untap, bgpvpn.leave_vpns)
    ports = Ports(reserved, leaving=above_ports)
    floating_ips = FloatingIps(ports)
    networks = _networks(network, floating_ips)
    subnets = with_leaving(inside_blocks(subnet.manager()), _LEAVING)
    plain_routers, *of_routers = router.family(ports, network)
    routers = (with_vpns(guarded(plain_routers, bgpvpn.leave_vpns)), *of_routers)
    port_rows = port.manager(
        reserved,
        leaving=(disassociate, forget_port, leave, forget_logs_of_port, *above_ports),
        moved=(follow_addresses,),
    )
    parts: tuple[Manager | Service, ...] = (
        networks,
        segments.manager(network),
        ranges.manager(network),
        address_scope.manager(),
        subnetpool.manager(),
        subnets,
        port_rows,
        standby.service(reserved),
        evict_service(reserved),
        trunk.manager(),
        *_addresses(reserved),
        *_region(network, quota_limits, tracer, certifier or Certifier()),
        epoch.service(hosts, reserved),
        *security_group.family(),
        *qos.family(),
        rbac.manager({("network", AS_EXTERNAL): vpc.become_external}),
        *routers,
        *elastic_ip.family(floating_ips),
        *local_ip.family(ports),
        *metering.family(),
        *firewall.family(),
        *bgp.family(),
        *tap.family(),
        *bgpvpn.family(),
        *vpn.family(),
        *chain.family(),
        topology.service(topology.Builders(networks, subnets, routers[0])),
    )
    own = own_paths(networks, subnets, port_rows, floating_ips)
    return (*parts, *own, *views(parts))


def _networks(network: NetworkSettings, floating_ips: FloatingIps) -> Manager:
    """Networks, with all that leaves them or goes with them."""
    return vpc.manager(
        network,
        empty=emptying(_LEAVING),
        remove_port=port.delete,
        complete=complete_network,
        leaving=(
            route_table.leave_network,
            floating_ips.leave_network,
            bgp.forget_network,
            bgpvpn.leave_vpns,
        ),
    )


def _addresses(reserved: Collection[Mac]) -> tuple[Manager, ...]:
    """Who gives out MAC and IP addresses."""
    return mac.manager(reserved), mac.range_manager(), private_ip.manager(), availability.manager()


def _region(
    network: NetworkSettings, quota_limits: Limits | None, tracer: Tracer | None, certifier: Certifier
) -> tuple[Manager | Service, ...]:
    """What is of the region, and of no network: its hosts, flavors, limits, history and traces."""
    return (
        node.manager(),
        invite_manager(certifier),
        join_service(certifier),
        agents.agent_manager(),
        agents.zone_manager(network.zones),
        *flavors(),
        quota.service(quota_limits or Limits()),
        audit.service(),
        trace.service(tracer),
    )


def own_paths(
    networks: Manager, subnets: Manager, ports: Manager, floating_ips: FloatingIps
) -> tuple[Manager | Service, ...]:
    """The paths that only the managers of the original have."""
    return (
        own_vpc.manager(
            networks,
            peering.check_unpeered,
            {"routetable": route_table.of_vpc, "routetables": route_table.all_of_vpc},
            {"routetable": route_table.set_of_vpc},
        ),
        own_vpc.service(),
        own_subnet.manager(
            subnets,
            {
                "routetable": route_table.of_subnet,
                "routes": effective.routes,
                "connected_subnets": effective.connected,
                "network_acl": network_acl.effective,
            },
            {"routetable": route_table.set_of_subnet},
        ),
        replace(mac.range_manager(), resource=MACS_RANGE),
        own_mac.service(),
        range_manager(),
        replace(range_manager(), resource=IPS_RANGE),
        usage.service(),
        ncm_manager(),
        replace(node.manager(), resource=NODE),
        upload_service(),
        route_table.manager(),
        effective.service(),
        peering.manager(),
        *network_acl.family(),
        *elastic_ip_ranges.family(floating_ips.manager()),
        gateway_info.service(),
        binding.service(ports),
    )
