"""Goal-state items of BGP: what a host's speaker is told, and what it announces."""

import msgspec


class BgpPeerItem(msgspec.Struct, frozen=True, order=True, gc=False):
    """A router of somebody else's. `password`: of TCP MD5 signatures; empty: none."""

    ip: str
    remote_as: int
    password: str = ""


class BgpSpeakerItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """This host speaks BGP. Scope: host. `ip_version`: of the routes. `peers` sorted."""

    id: str
    local_as: int
    ip_version: int
    peers: tuple[BgpPeerItem, ...]


class BgpRoute(msgspec.Struct, frozen=True, order=True, gc=False):
    """A prefix to advertise. `next_hop`: the router's address on the external network.

    `mac`: of a floating IP: where whoever gets its packets as the next hop sends them; empty: it is a subnet.
    """

    destination: str
    next_hop: str
    mac: str = ""


class BgpRoutesItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a speaker advertises of one router; never empty. Scope: host, wherever the speaker is.

    id: the speaker's and the router's, joined by a slash. `routes` sorted.
    """

    id: str
    speaker_id: str
    router_id: str
    routes: tuple[BgpRoute, ...]
