"""Who is limited beside ports: floating IPs and router gateways with a QoS policy, each with a local number."""

from collections.abc import Iterator

from alcor.goalstate.item import Item
from alcor.goalstate.router_item import FloatingIpItem, RouterItem
from alcor.pipeline.view import View


def limited_of(item: Item | None) -> tuple[str, ...]:
    """The ids that an item brings: a floating IP's own, a router's gateways'; those with a policy."""
    match item:
        case FloatingIpItem():
            return (item.id,) if item.qos is not None else ()
        case RouterItem():
            return tuple(gateway.id for gateway in item.gateways if gateway.qos is not None)
        case _:
            return ()


def limited_in(view: View) -> dict[str, str]:
    """Everybody who is limited on this host, with the router whose flows say so. Cost: O(floating IPs and routers)."""
    return dict(_limited(view))


def _limited(view: View) -> Iterator[tuple[str, str]]:
    for floating_ip in view.floating_ips.values():
        yield from ((id, floating_ip.router_id) for id in limited_of(floating_ip))
    for router in view.routers.values():
        yield from ((id, router.id) for id in limited_of(router))
