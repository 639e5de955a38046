"""Routers and what is a part of them."""

from alcor.managers.interface import Manager
from alcor.managers.router.conntrack import conntrack_manager
from alcor.managers.router.manager import Routers
from alcor.managers.router.ndp_proxy import ndp_proxy_manager
from alcor.managers.router.ports import Ports
from alcor.managers.vpc.settings import NetworkSettings


def family(ports: Ports, settings: NetworkSettings) -> tuple[Manager, ...]:
    """Routers first. `ports`: the Port Manager; `settings`: the zones there are."""
    return Routers(ports, settings).manager(), conntrack_manager(), ndp_proxy_manager()
