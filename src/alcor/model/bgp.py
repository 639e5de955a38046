"""Dynamic routing: who of the region speaks BGP, with whom, and of which external networks.

Source: Networking API v2.0, "BGP dynamic routing"; extensions bgp, bgp_4byte_asn.
"""

from alcor.model.resource import REQUIRED, Attribute, Entity, Lookup, Resource, Who
from alcor.model.standard import ID, NAME, PROJECT_ID
from alcor.model.value import IP, Boolean, Choice, Integer, ListOf, Nullable, Text, Uuid

# Source: RFC 6793, section 2.
_ASN = Integer(1, 2**32 - 1)
_ADMIN = "rule:admin_only"


class BgpPeer(Entity, frozen=True, kw_only=True, gc=False):
    """A router of somebody else's. `password`: of its TCP MD5 signatures, if `auth_type` is md5."""

    peer_ip: str
    remote_as: int
    auth_type: str
    password: str | None = None


class BgpSpeaker(Entity, frozen=True, kw_only=True, gc=False):
    """Who tells peers how to reach what is behind the routers on `networks`. `peers`, `networks`: in the order they
    were added."""

    local_as: int
    ip_version: int
    peers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    advertise_floating_ip_host_routes: bool = True
    advertise_tenant_networks: bool = True


_ADMINS = dict.fromkeys(("create", "get", "update", "delete"), _ADMIN)
_ACTIONS = ("add_bgp_peer", "remove_bgp_peer", "add_gateway_network", "remove_gateway_network")
_OF_BOTH = (ID, NAME, PROJECT_ID)

BGP_PEER = Resource(
    name="bgp_peer",
    collection="bgp-peers",
    entity=BgpPeer,
    text="A router of somebody else's that speakers exchange routes with.",
    columns_shown=("id", "name", "peer_ip", "remote_as"),
    policy=_ADMINS,
    attributes=(
        *_OF_BOTH,
        Attribute("peer_ip", IP, default=REQUIRED, update=Who.NOBODY, text="Its address."),
        Attribute(
            "remote_as", _ASN, default=REQUIRED, update=Who.NOBODY, text="Its autonomous system's number."
        ),
        Attribute(
            "auth_type",
            Choice(("none", "md5")),
            default=REQUIRED,
            update=Who.NOBODY,
            text="How each knows that it is the other.",
        ),
        Attribute(
            "password",
            Nullable(Text(255)),
            default=None,
            see=Who.NOBODY,
            secret=True,
            filters=False,
            sorts=False,
            text="What both know, for md5.",
        ),
    ),
)

BGP_SPEAKER = Resource(
    name="bgp_speaker",
    collection="bgp-speakers",
    entity=BgpSpeaker,
    text="Who tells peers how to reach what is behind routers of external networks.",
    columns_shown=("id", "name", "local_as", "ip_version"),
    policy={**_ADMINS, **dict.fromkeys(_ACTIONS, _ADMIN)},
    lookups=(
        Lookup(
            "peers", ("peer_id",), lambda row: [(one,) for one in row.peers], refers={"peer_id": "bgp_peer"}
        ),
        Lookup(
            "networks",
            ("network_id",),
            lambda row: [(one,) for one in row.networks],
            refers={"network_id": "network"},
        ),
    ),
    attributes=(
        *_OF_BOTH,
        Attribute(
            "local_as",
            _ASN,
            default=REQUIRED,
            update=Who.NOBODY,
            text="The region's autonomous system's number.",
        ),
        Attribute(
            "ip_version",
            Choice((4, 6)),
            default=REQUIRED,
            update=Who.NOBODY,
            text="The version of the routes.",
        ),
        Attribute(
            "peers",
            ListOf(Uuid()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            sorts=False,
            text="The IDs of its peers; add_bgp_peer and remove_bgp_peer change them.",
        ),
        Attribute(
            "networks",
            ListOf(Uuid()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            sorts=False,
            text="The IDs of its external networks; add_gateway_network and remove_gateway_network change them.",
        ),
        Attribute(
            "advertise_floating_ip_host_routes",
            Boolean(),
            default=True,
            text="Whether floating IPs are among the routes.",
        ),
        Attribute(
            "advertise_tenant_networks",
            Boolean(),
            default=True,
            text="Whether subnets of projects are, of the address scopes of the external networks.",
        ),
    ),
)

BGP = (BGP_PEER, BGP_SPEAKER)
