"""The original Alcor's paths of nouns that the Networking API has too: other views of the same rows.

A view has the verbs, the rules and the service of the manager whose rows it shows; there is no second copy of anything.
"""

from collections.abc import Iterable
from dataclasses import replace

from alcor.managers.interface import Manager, Service
from alcor.model.view import view_of

# Resource → the collection's name at the root, where it differs.
_PLAIN = {
    "segment": "",
    "network_segment_range": "segmentranges",
    "port": "",
    "router": "",
    "security_group": "security-groups",
    "security_group_rule": "security-group-rules",
}
_QUOTAS = "/v2.0/quotas"


def views(parts: Iterable[Manager | Service]) -> tuple[Manager | Service, ...]:
    """The views that have nothing of their own but their path, of those `parts` that have one."""
    found: list[Manager | Service] = []
    for part in parts:
        if isinstance(part, Service):
            if part.service == "quota":
                found.append(_at_root(part))
        elif part.resource.name in _PLAIN:
            resource = part.resource
            shown = view_of(resource, f"service_{resource.name}", collection=_PLAIN[resource.name])
            found.append(replace(part, resource=shown, extensions=()))
    return tuple(found)


def _at_root(quotas: Service) -> Service:
    routes = [
        replace(route, path=route.path.removeprefix("/v2.0"))
        for route in quotas.routes
        if route.path.startswith(_QUOTAS)
    ]
    return replace(quotas, routes=tuple(routes), extensions=())
