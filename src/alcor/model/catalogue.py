"""Every resource there is. The store renders its schema from this list; order: parents before children."""

from alcor.model.host import HOST
from alcor.model.ip_allocation import IP_ALLOCATION
from alcor.model.mac_allocation import MAC_ALLOCATION
from alcor.model.mac_range import MAC_RANGE
from alcor.model.network import NETWORK
from alcor.model.port import PORT
from alcor.model.rbac_policy import RBAC_POLICY
from alcor.model.resource import Entity, Resource
from alcor.model.security_group import SECURITY_GROUP
from alcor.model.subnet import SUBNET
from alcor.model.token import TOKEN

RESOURCES: tuple[Resource, ...] = (
    TOKEN,
    RBAC_POLICY,
    MAC_RANGE,
    HOST,
    SECURITY_GROUP,
    NETWORK,
    SUBNET,
    MAC_ALLOCATION,
    IP_ALLOCATION,
    PORT,
)
BY_ENTITY: dict[type[Entity], Resource] = {resource.entity: resource for resource in RESOURCES}
BY_NAME: dict[str, Resource] = {resource.name: resource for resource in RESOURCES}
