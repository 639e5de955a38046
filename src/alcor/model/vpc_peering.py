"""A peering: the owners of two VPCs want packets to pass between them. One asks, the other accepts."""

from alcor.model.resource import REQUIRED, UNSET, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import Choice, Text, Uuid

PENDING, ACTIVE, REJECTED = "pending", "active", "rejected"
_PEER_MEMBER = "role:member and project_id:%(peer_project_id)s"


class VpcPeering(Entity, frozen=True, kw_only=True, gc=False):
    """Its project is that of `network_id`, which asked; `peer_project_id` is that of `peer_network_id`."""

    network_id: str
    peer_network_id: str
    peer_project_id: str
    status: str = PENDING


VPC_PEERING = Resource(
    name="vpc_peering",
    collection="vpc-peerings",
    entity=VpcPeering,
    prefix="",
    text="Two VPCs whose owners want packets to pass between them.",
    columns_shown=("id", "name", "network_id", "peer_network_id", "status"),
    bulk_path=True,
    policy={
        "get": "rule:admin_or_project_reader or (role:reader and project_id:%(peer_project_id)s)",
        "delete": f"rule:admin_or_project_member or ({_PEER_MEMBER})",
        "accept_peering": f"rule:admin_only or ({_PEER_MEMBER})",
        "reject_peering": f"rule:admin_only or ({_PEER_MEMBER})",
    },
    attributes=(
        *STANDARD,
        Attribute(
            "network_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="network",
            text="The VPC whose owner asks.",
        ),
        Attribute(
            "peer_network_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="network",
            text="The VPC whose owner is asked.",
        ),
        Attribute(
            "peer_project_id",
            Text(255, 1),
            default=UNSET,
            update=Who.NOBODY,
            column=True,
            text="The project of that VPC; by default the one that asks.",
        ),
        Attribute(
            "status",
            Choice((PENDING, ACTIVE, REJECTED)),
            create=Who.NOBODY,
            update=Who.NOBODY,
            column=True,
            text="`pending` until the other owner accepts or rejects it.",
        ),
        *COUNTED,
    ),
)
