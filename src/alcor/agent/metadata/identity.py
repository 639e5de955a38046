"""What an instance is told of itself where no compute service is asked. Pure.

Two trees: that of Amazon's instance metadata (texts; a directory answers with its list) and that of OpenStack's config
drive (`meta_data.json`, `network_data.json`), as far as the host knows them: identity and network, no user data. The
instance is all local ports with the asking port's device and project; a port without device is its own.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from alcor.agent.answer.naming import domain_of, name_servers
from alcor.goalstate.item import LocalPort, RegionItem, SubnetItem
from alcor.model.address import Cidr, Ip, ip_of_int, ip_version, network_of
from alcor.pipeline.view import NetworkView, View

Tree = Mapping[str, "str | Tree"]

VERSION = "latest"
_LINK_CHARS = 11  # as a tap is named for a port


class Document(NamedTuple):
    """What stands at a path."""

    text: str
    media_type: str


def find_document(path: str, port: LocalPort, view: View) -> Document | None:
    """What stands at a path for the instance of a port; None if there is nothing.

    A directory, with or without a slash at its end, is the list of its entries, directories with one. Cost: O(ports of
    the host).
    """
    node: str | Tree = tree(port, view)
    steps = [step for step in path.split("/") if step]
    for step in steps:
        if isinstance(node, str) or step not in node:
            return None
        node = node[step]
    if isinstance(node, str):
        if path.endswith("/"):
            return None
        return Document(node, "application/json" if steps[-1].endswith(".json") else "text/plain")
    names = (name if isinstance(below, str) else f"{name}/" for name, below in node.items())
    return Document("\n".join(names), "text/plain")


def tree(port: LocalPort, view: View) -> Tree:
    """All documents of the instance of a port."""
    ports = instance_ports(port, view)
    return {
        VERSION: {"meta-data": _amazon(port, ports, view)},
        "openstack": {
            VERSION: {
                "meta_data.json": json.dumps(_openstack(port, view)),
                "network_data.json": json.dumps(_network_data(ports, view)),
            }
        },
    }


def instance_ports(port: LocalPort, view: View) -> list[LocalPort]:
    """The instance's ports on this host, the asking one first."""
    if not port.device_id:
        return [port]
    others = [
        other
        for _, other in sorted(view.ports.items())
        if other.id != port.id
        and (other.device_id, other.project_id) == (port.device_id, port.project_id)
        and other.network_id in view.networks
    ]
    return [port, *others]


def host_name(port: LocalPort, view: View) -> str:
    """The instance's name with its domain, as far as there are any."""
    short = port.dns_name or port.name or f"host-{port.id}"
    domain = "" if view.region is None else domain_of(view.networks[port.network_id], view.region)
    return f"{short}.{domain}" if domain and port.dns_name else short


def _amazon(port: LocalPort, ports: list[LocalPort], view: View) -> dict[str, str | Tree]:
    found: dict[str, str | Tree] = {
        "hostname": host_name(port, view),
        "instance-id": port.device_id or port.id,
        "local-hostname": host_name(port, view),
    }
    ipv4 = _ips(port, 4)
    if ipv4:
        found["local-ipv4"] = ipv4[0]
    found["mac"] = port.mac
    public = _public(port, view)
    if public:
        found["public-ipv4"] = public[0]
    macs = {each.mac: _interface(number, each, view) for number, each in enumerate(ports)}
    found["network"] = {"interfaces": {"macs": macs}}
    return found


def _interface(number: int, port: LocalPort, view: View) -> Tree:
    network = view.networks[port.network_id]
    found = {"device-number": str(number), "interface-id": port.id, "local-hostname": host_name(port, view)}
    subnets = [
        network.subnets[id]
        for id in dict.fromkeys(a.subnet_id for a in port.addresses)
        if id in network.subnets
    ]
    cidrs = [subnet.cidr for subnet in subnets]
    many = {
        "local-ipv4s": _ips(port, 4),
        "ipv6s": _ips(port, 6),
        "public-ipv4s": _public(port, view),
        "subnet-ipv4-cidr-block": [cidr for cidr in cidrs if ip_version(Cidr(cidr)) == 4],
        "subnet-ipv6-cidr-blocks": [cidr for cidr in cidrs if ip_version(Cidr(cidr)) == 6],
    }
    found |= {name: "\n".join(values) for name, values in many.items() if values}
    found |= {"mac": port.mac, "owner-id": port.project_id, "vpc-id": port.network_id}
    return found


def _ips(port: LocalPort, version: int) -> list[str]:
    return [address.ip for address in port.addresses if ip_version(Ip(address.ip)) == version]


def _public(port: LocalPort, view: View) -> list[str]:
    """Floating IPs of the port that this host translates."""
    ids = view.floating_ips_for(port.id)
    return [view.floating_ips[id].ip for id in ids if view.floating_ips[id].port_id == port.id]


def _openstack(port: LocalPort, view: View) -> dict[str, Any]:
    return {
        "uuid": port.device_id or port.id,
        "name": port.name or port.dns_name,
        "hostname": host_name(port, view),
        "project_id": port.project_id,
        "launch_index": 0,
        "meta": {},
    }


def _network_data(ports: list[LocalPort], view: View) -> dict[str, Any]:
    """Source: the schema of OpenStack's network_data.json."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, str]] = []
    for port in ports:
        network = view.networks[port.network_id]
        link = f"tap{port.id[:_LINK_CHARS]}"
        links.append(
            {
                "id": link,
                "vif_id": port.id,
                "type": "ovs",
                "mtu": network.network.mtu,
                "ethernet_mac_address": port.mac,
            }
        )
        for address in port.addresses:
            subnet = network.subnets.get(address.subnet_id)
            if subnet is None:
                continue
            servers = _servers(subnet, network, view.region)
            services += [server for server in servers if server not in services]
            described = _network(address.ip, subnet, network, servers)
            networks.append({"id": f"network{len(networks)}", "link": link, **described})
    return {"links": links, "networks": networks, "services": services}


def _servers(subnet: SubnetItem, network: NetworkView, region: RegionItem | None) -> list[dict[str, str]]:
    if region is None:
        return []
    version = ip_version(Cidr(subnet.cidr))
    found = name_servers((subnet,), version, network, region, serves_names=True)
    texts = [str(ip_of_int(int.from_bytes(octets, "big"), version)) for octets in found]
    return [{"type": "dns", "address": text} for text in texts]


def _network(
    ip: str, subnet: SubnetItem, network: NetworkView, servers: list[dict[str, str]]
) -> dict[str, Any]:
    version = ip_version(Cidr(subnet.cidr))
    prefix = network_of(Cidr(subnet.cidr))
    found: dict[str, Any] = {"network_id": network.network.id, "type": f"ipv{version}"}
    if version == 6 and subnet.ipv6_address_mode is not None:
        found["type"] = f"ipv6_{subnet.ipv6_address_mode}"
    elif version == 4 and subnet.enable_dhcp:
        found["type"] = "ipv4_dhcp"
    else:
        found |= {"ip_address": ip, "netmask": str(prefix.netmask), "services": servers}
        routes = [(route.destination, route.nexthop) for route in subnet.host_routes]
        if subnet.gateway_ip is not None:
            routes.insert(0, ("0.0.0.0/0" if version == 4 else "::/0", subnet.gateway_ip))
        found["routes"] = [_route(to, via) for to, via in routes]
    return found


def _route(destination: str, nexthop: str) -> dict[str, str]:
    prefix = network_of(Cidr(destination))
    return {"network": str(prefix.network_address), "netmask": str(prefix.netmask), "gateway": nexthop}
