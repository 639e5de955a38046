"""Goal-state items of routers: their interfaces, routes and gateways, and the floating IPs behind them."""

import msgspec


class InterfaceAddress(msgspec.Struct, frozen=True, order=True, gc=False):
    """One address of a router on a subnet. `cidr`: the subnet's. `gateway_ip`: the subnet's, for outer networks."""

    ip: str
    cidr: str
    subnet_id: str
    gateway_ip: str | None = None


class RouterInterface(msgspec.Struct, frozen=True, order=True, gc=False):
    """A router's interface on an inner network. id: its port's. Addresses sorted."""

    id: str
    network_id: str
    mac: str
    addresses: tuple[InterfaceAddress, ...]


class RouterGateway(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A router's port on an external network. `qos`: policy of the router's gateway."""

    id: str
    network_id: str
    mac: str
    addresses: tuple[InterfaceAddress, ...]
    snat: bool
    qos: str | None = None


class RouterRoute(msgspec.Struct, frozen=True, order=True, gc=False):
    """A route that is not of an interface's own subnet.

    Exactly one of: `nexthop` (on a subnet of an interface or gateway), `network_id` (a peered network, delivered as if
    connected), neither (unreachable). Several of one destination with next hops: equal cost.
    """

    destination: str
    nexthop: str | None = None
    network_id: str | None = None


class GatewayHost(msgspec.Struct, frozen=True, gc=False):
    """A host that may serve a router's gateway."""

    host_id: str
    vtep: str


class RouterItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A router, whole: interfaces and routes are one item, so that no part of a change opens a wrong way (I10).

    Scope: router. `interfaces` sorted, `gateways` in the router's order (the first is the default way out),
    `gateway_hosts` in order of preference: the first that lives serves. `interfaces` of a peered network that no router
    serves stand in an item of their own whose id is the network's. `firewalls`: the firewall groups on its interfaces,
    sorted: its scope is whole only with them (`parts`).
    """

    id: str
    admin_state_up: bool
    interfaces: tuple[RouterInterface, ...]
    routes: tuple[RouterRoute, ...] = ()
    gateways: tuple[RouterGateway, ...] = ()
    gateway_hosts: tuple[GatewayHost, ...] = ()
    firewalls: tuple[str, ...] = ()


class GatewayItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """This host is one of a router's gateway hosts. Scope: host. id: the router's. `networks`: its external ones."""

    id: str
    networks: tuple[str, ...]


class Forward(msgspec.Struct, frozen=True, order=True, gc=False):
    """One port forwarding. Ports inclusive; ranges are N to N or N to 1. `protocol`: number. id: its own."""

    protocol: int
    external_first: int
    external_last: int
    ip: str
    internal_first: int
    internal_last: int
    port_id: str
    id: str


class FloatingIpItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A floating IP, whole, for a host that translates it. Scope: host.

    It is in the scope of the port's own host if that host reaches the external network, else in those of the router's
    gateway hosts (`is_central`), as are floating IPs with `forwards` (then `port_id` is None).
    `mac`: its own, so that the outside finds it wherever it is. `network_id`: the external one.
    """

    id: str
    ip: str
    mac: str
    network_id: str
    router_id: str
    port_id: str | None = None
    fixed_ip: str | None = None
    fixed_network_id: str | None = None
    is_central: bool = False
    qos: str | None = None
    forwards: tuple[Forward, ...] = ()
