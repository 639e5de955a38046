"""Floating IPs: which hosts translate them."""

from collections.abc import Iterator

from alcor.goalstate.derive.router import gateway_hosts, reaches
from alcor.goalstate.fact import FloatingIpFact, HostFact, NetworkFact
from alcor.goalstate.intent import By, Intent
from alcor.goalstate.router_item import FloatingIpItem, Forward


def is_distributed(host: HostFact | None, outer: NetworkFact | None) -> bool:
    """Whether the port's own host translates: it must reach the external network, which is no overlay."""
    if host is None or outer is None or outer.item.physical_network is None:
        return False
    return reaches(host, outer.item.physical_network)


def item_of(
    fact: FloatingIpFact,
    mac: str,
    fixed_network_id: str | None,
    forwards: tuple[Forward, ...],
    *,
    central: bool,
) -> FloatingIpItem:
    """The item of a floating IP; `forwards` are sorted, and then it stands for no port."""
    return FloatingIpItem(
        id=fact.id,
        ip=fact.ip,
        mac=mac,
        network_id=fact.network_id,
        router_id=fact.router_id,
        port_id=fact.port_id,
        fixed_ip=fact.fixed_ip,
        fixed_network_id=fixed_network_id,
        is_central=central,
        qos=fact.qos,
        forwards=forwards,
    )


def floating_ip(intent: Intent, id: str) -> Iterator[tuple[str, FloatingIpItem]]:
    """A floating IP that a router translates, for each host that may have to."""
    fact = intent.floating_ips.get(id)
    router = intent.routers.get(fact.router_id) if fact is not None else None
    outer_port = intent.ports.get(fact.floating_port_id) if fact is not None else None
    if fact is None or router is None or outer_port is None:
        return
    forwards: tuple[Forward, ...] = ()
    fixed_network_id = None
    if fact.port_id is None:
        forwards = tuple(sorted(one.forward for one in intent.forwards.found((By.FLOATING_IP, id))))
        if not forwards:
            return
    else:
        port = intent.ports.get(fact.port_id)
        if port is None:
            return
        fixed_network_id = port.local.network_id
        host = intent.host_of(port)
        if host is not None and is_distributed(host, intent.networks.get(fact.network_id)):
            yield (
                host.item.id,
                item_of(fact, outer_port.local.mac, fixed_network_id, forwards, central=False),
            )
            return
    item = item_of(fact, outer_port.local.mac, fixed_network_id, forwards, central=True)
    for serving in gateway_hosts(intent, router):
        yield serving.host_id, item
