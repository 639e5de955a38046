"""How a fact looks to others: the items that are made of a port and its host together."""

from alcor.goalstate.intent import PortFact
from alcor.goalstate.item import HostItem, Neighbour, NetworkHost


def vtep_of(host: HostItem) -> str | None:
    """Where tunnels to this host end: its first address. None if it has none: then its ports are nobody's
    neighbours, because nobody could send to them."""
    return host.vtep_addresses[0] if host.vtep_addresses else None


def neighbour(port: PortFact, host: HostItem) -> Neighbour | None:
    """A placed port as the rest of its network sees it. The order of its addresses means nothing there."""
    vtep = vtep_of(host)
    if vtep is None:
        return None
    local = port.local
    ips = tuple(sorted(address.ip for address in local.addresses))
    return Neighbour(id=local.id, mac=local.mac, ips=ips, host_id=host.id, vtep=vtep, groups=local.groups)


def network_host(host: HostItem) -> NetworkHost | None:
    """A host as the networks with ports on it see it."""
    vtep = vtep_of(host)
    return None if vtep is None else NetworkHost(id=host.id, vtep=vtep)
