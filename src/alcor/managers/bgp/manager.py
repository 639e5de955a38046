"""BGP peers and speakers: `/v2.0/bgp-peers`, `/v2.0/bgp-speakers`."""

from typing import Any

from alcor.managers.bgp.routes import advertised_routes
from alcor.managers.interface import Caller, Manager, Values
from alcor.managers.plain import plain_manager
from alcor.managers.row import replace_row
from alcor.model.bgp import BGP_PEER, BGP_SPEAKER, BgpPeer, BgpSpeaker
from alcor.model.errors import Conflict, InvalidInput, NotFound, Problem
from alcor.model.extension import Extension
from alcor.model.network import Network
from alcor.model.value import Uuid
from alcor.store.interface import Condition, Query, Transaction

_SERVICE = "bgp"
_EXTENSIONS = (
    Extension(
        "bgp",
        "Neutron BGP Dynamic Routing Extension",
        "Hosts that may serve gateways advertise floating IPs and projects' subnets to peers.",
        "2016-05-10T15:37:00-00:00",
    ),
    Extension(
        "bgp_4byte_asn",
        "BGP 4-byte AS numbers",
        "Numbers of autonomous systems have up to 32 bits.",
        "2017-09-07T00:00:00-00:00",
    ),
)


def family() -> tuple[Manager, ...]:
    """Peers and speakers."""
    return (
        plain_manager(BGP_PEER, _SERVICE, check=_check_peer, removal=_leave_speakers),
        plain_manager(
            BGP_SPEAKER,
            _SERVICE,
            children={"get_advertised_routes": advertised_routes},
            actions={
                "add_bgp_peer": _add_peer,
                "remove_bgp_peer": _remove_peer,
                "add_gateway_network": _add_network,
                "remove_gateway_network": _remove_network,
            },
            extensions=_EXTENSIONS,
        ),
    )


async def forget_network(tx: Transaction, _caller: Caller, network: Network) -> None:
    """Take a network that is being deleted from its speakers."""
    for speaker in await _speakers_with(tx, "networks.network_id", network.id):
        await replace_row(tx, speaker, {"networks": _without(speaker.networks, network.id)})


async def _check_peer(_tx: Transaction, _caller: Caller, row: BgpPeer | None, values: Values) -> Values:
    password = values.get("password")
    if row is None and values["auth_type"] == "md5" and not password:
        raise InvalidInput(
            "A password must be supplied when using auth_type md5.", problem=Problem.BGP_PASSWORD_MISSING
        )
    if row is not None and row.auth_type == "none" and password is not None:
        raise NotFound(
            "bgp_peer",
            row.id,
            reason=f"BGP peer {row.id} is not authenticated (auth_type none), so it has no password.",
            problem=Problem.BGP_NOT_AUTHENTICATED,
        )
    return values


async def _leave_speakers(tx: Transaction, _caller: Caller, row: BgpPeer) -> None:
    for speaker in await _speakers_with(tx, "peers.peer_id", row.id):
        await replace_row(tx, speaker, {"peers": _without(speaker.peers, row.id)})


async def _speakers_with(tx: Transaction, column: str, id: str) -> list[BgpSpeaker]:
    return await tx.list(BgpSpeaker, Query((Condition(column, (id,)),)))


async def _add_peer(tx: Transaction, _caller: Caller, row: BgpSpeaker, body: Values) -> dict[str, Any]:
    """Raises: NotFound; Conflict if the speaker has this peer, or one of the same address."""
    peer = await tx.get(BgpPeer, _named(body, "bgp_peer_id"))
    for id in row.peers:
        if (await tx.get(BgpPeer, id)).peer_ip == peer.peer_ip:
            raise Conflict(
                f"BGP speaker {row.id} has a peer with address {peer.peer_ip}, {id}; it cannot have {peer.id} as well.",
                kind="bgp_speaker",
                id=row.id,
                problem=Problem.BGP_PEER_TWICE,
            )
    await replace_row(tx, row, {"peers": (*row.peers, peer.id)})
    return {"bgp_peer_id": peer.id}


async def _remove_peer(tx: Transaction, _caller: Caller, row: BgpSpeaker, body: Values) -> dict[str, Any]:
    """Raises: NotFound if it is not the speaker's."""
    id = _named(body, "bgp_peer_id")
    if id not in row.peers:
        raise NotFound(
            "bgp_peer",
            id,
            reason=f"BGP peer {id} is not associated with BGP speaker {row.id}.",
            problem=Problem.BGP_PEER_MISSING,
        )
    await replace_row(tx, row, {"peers": _without(row.peers, id)})
    return {"bgp_peer_id": id}


async def _add_network(tx: Transaction, _caller: Caller, row: BgpSpeaker, body: Values) -> dict[str, Any]:
    """Raises: NotFound; Conflict if the speaker has it."""
    network = await tx.get(Network, _named(body, "network_id"))
    if network.id in row.networks:
        raise Conflict(
            f"Network {network.id} is already bound to BGP speaker {row.id}.",
            kind="bgp_speaker",
            id=row.id,
            problem=Problem.BGP_NETWORK_TWICE,
        )
    await replace_row(tx, row, {"networks": (*row.networks, network.id)})
    return {"network_id": network.id}


async def _remove_network(tx: Transaction, _caller: Caller, row: BgpSpeaker, body: Values) -> dict[str, Any]:
    """Raises: NotFound if it is not the speaker's."""
    id = _named(body, "network_id")
    if id not in row.networks:
        raise NotFound(
            "network",
            id,
            reason=f"Network {id} is not associated with BGP speaker {row.id}.",
            problem=Problem.BGP_NETWORK_MISSING,
        )
    await replace_row(tx, row, {"networks": _without(row.networks, id)})
    return {"network_id": id}


def _named(body: Values, member: str) -> str:
    """The id an action is about: `{member: id}`. Raises: InvalidInput."""
    if body.keys() != {member}:
        raise InvalidInput(
            f"Bad bgp-speaker request: {member} must be specified, and nothing else.",
            problem=Problem.BAD_REQUEST,
        )
    try:
        return Uuid().parse(body[member])
    except ValueError as error:
        raise InvalidInput(
            f"Bad bgp-speaker request: {member}: {error}.", problem=Problem.BAD_REQUEST
        ) from error


def _without(ids: tuple[str, ...], id: str) -> tuple[str, ...]:
    return tuple(one for one in ids if one != id)
