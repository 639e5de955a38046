"""What bgpd is told, word by word, and what leads from one state to the next."""

from dataclasses import replace

import pytest

from alcor.agent.bgp.config import Peer, Speech, lines, rendered, router_id_of, speeches, unusable
from alcor.goalstate.bgp_item import BgpPeerItem, BgpRoute, BgpRoutesItem, BgpSpeakerItem
from alcor.goalstate.item import HostItem
from alcor.pipeline.view import View

HOST = HostItem(id="h1", name="h1", vtep_addresses=("2001:db8::7", "192.0.2.7"), token_digest="")
PEER = BgpPeerItem("203.0.113.1", 64_500, "secret")


def speaker(id: str, *peers: BgpPeerItem, version: int = 4, local_as: int = 64_512) -> BgpSpeakerItem:
    return BgpSpeakerItem(id=id, local_as=local_as, ip_version=version, peers=peers)


def routes(speaker_id: str, router_id: str, *told: tuple[str, str]) -> BgpRoutesItem:
    return BgpRoutesItem(
        id=f"{speaker_id}/{router_id}",
        speaker_id=speaker_id,
        router_id=router_id,
        routes=tuple(BgpRoute(*one) for one in told),
    )


def a_view(*items: BgpSpeakerItem | BgpRoutesItem) -> View:
    view = View(host=HOST)
    for item in items:
        if isinstance(item, BgpSpeakerItem):
            view.bgp_speakers[item.id] = item
        else:
            view.bgp_routes[item.id] = item
    return view


def only(*items: BgpSpeakerItem | BgpRoutesItem, source: str = "") -> Speech:
    (speech,) = speeches(a_view(*items), source).values()
    return speech


def test_the_file_bgpd_starts_with() -> None:
    """Each prefix has its own next hop, each peer its own list, and nothing is accepted."""
    speech = only(
        speaker("v4", PEER),
        speaker("v6", PEER, version=6),
        routes("v4", "r1", ("10.1.0.0/24", "203.0.113.5"), ("203.0.113.77/32", "203.0.113.5")),
        routes("v6", "r1", ("fd00:1::/64", "2001:db8:f::5")),
        source="203.0.113.9",
    )

    assert (
        rendered(speech)
        == """\
frr defaults traditional
route-map none deny 10
exit
route-map via-2001:db8:f::5 permit 10
 set ipv6 next-hop global 2001:db8:f::5
exit
route-map via-203.0.113.5 permit 10
 set ip next-hop 203.0.113.5
exit
ip prefix-list to-203.0.113.1 permit 10.1.0.0/24
ip prefix-list to-203.0.113.1 permit 203.0.113.77/32
ipv6 prefix-list to-203.0.113.1 permit fd00:1::/64
router bgp 64512
 bgp router-id 192.0.2.7
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 no bgp graceful-restart notification
 neighbor 203.0.113.1 remote-as 64500
 neighbor 203.0.113.1 password secret
 neighbor 203.0.113.1 ebgp-multihop 255
 neighbor 203.0.113.1 update-source 203.0.113.9
 neighbor 203.0.113.1 timers 10 30
 neighbor 203.0.113.1 timers connect 2
 neighbor 203.0.113.1 advertisement-interval 0
 address-family ipv4 unicast
  network 10.1.0.0/24 route-map via-203.0.113.5
  network 203.0.113.77/32 route-map via-203.0.113.5
  neighbor 203.0.113.1 activate
  neighbor 203.0.113.1 attribute-unchanged next-hop
  neighbor 203.0.113.1 prefix-list to-203.0.113.1 out
  neighbor 203.0.113.1 route-map none in
 exit-address-family
 address-family ipv6 unicast
  network fd00:1::/64 route-map via-2001:db8:f::5
  neighbor 203.0.113.1 activate
  neighbor 203.0.113.1 attribute-unchanged next-hop
  neighbor 203.0.113.1 prefix-list to-203.0.113.1 out
  neighbor 203.0.113.1 route-map none in
 exit-address-family
exit
"""
    )


def test_what_changes_is_all_that_is_said() -> None:
    """A new prefix is permitted before it is there, an old one goes before it is refused; of equal states: nothing."""
    one = only(speaker("v", PEER), routes("v", "r1", ("203.0.113.77/32", "203.0.113.5")))
    two = only(speaker("v", PEER), routes("v", "r2", ("203.0.113.78/32", "203.0.113.6")))

    assert lines(one, two) == [
        "route-map via-203.0.113.6 permit 10",
        " set ip next-hop 203.0.113.6",
        "exit",
        "ip prefix-list to-203.0.113.1 permit 203.0.113.78/32",
        "router bgp 64512",
        " address-family ipv4 unicast",
        "  no network 203.0.113.77/32",
        "  network 203.0.113.78/32 route-map via-203.0.113.6",
        " exit-address-family",
        "exit",
        "no ip prefix-list to-203.0.113.1 permit 203.0.113.77/32",
        "no route-map via-203.0.113.5",
    ]
    assert lines(one, one) == []


def test_a_peer_that_changes_is_made_anew() -> None:
    """Its session and its list go first, and come again whole; other peers hear nothing of it."""
    other = BgpPeerItem("203.0.113.2", 64_500)
    told = routes("v", "r1", ("203.0.113.77/32", "203.0.113.5"))
    before = only(speaker("v", PEER, other), told)
    after = only(speaker("v", BgpPeerItem(PEER.ip, 64_501), other), told)

    said = lines(before, after)

    assert said[:5] == [
        "router bgp 64512",
        " no neighbor 203.0.113.1",
        "exit",
        "no ip prefix-list to-203.0.113.1",
        "ip prefix-list to-203.0.113.1 permit 203.0.113.77/32",
    ]
    assert " neighbor 203.0.113.1 remote-as 64501" in said
    assert not [line for line in said if "203.0.113.2" in line or "network" in line]


def test_a_peer_learns_only_what_its_speakers_advertise() -> None:
    """Speakers of one autonomous system share a bgpd, not their peers; those of another have one of their own."""
    other = BgpPeerItem("203.0.113.2", 64_500)
    found = speeches(
        a_view(
            speaker("a", PEER),
            speaker("b", PEER, other),
            speaker("c", PEER, local_as=64_513),
            routes("a", "r1", ("10.1.0.0/24", "203.0.113.5")),
            routes("b", "r2", ("10.2.0.0/24", "203.0.113.6")),
        ),
        "",
    )

    assert found[64_512].told == {
        "203.0.113.1": frozenset(("10.1.0.0/24", "10.2.0.0/24")),
        "203.0.113.2": frozenset(("10.2.0.0/24",)),
    }
    assert found[64_513].routes == {}


def test_inside_one_autonomous_system_there_are_no_hops() -> None:
    """A peer of our own AS gets the next hop as it is anyway, and is not many hops away."""
    inner = Speech(64_512, "1.1.1.1", peers={"192.0.2.9": Peer("192.0.2.9", 64_512, "", (4,))})

    said = rendered(inner)

    assert "ebgp-multihop" not in said
    assert "attribute-unchanged" not in said


@pytest.mark.parametrize("password", ["two words", "line\nno router bgp 64512", "é", "x" * 81])
def test_a_password_that_is_no_word_is_never_said(password: str) -> None:
    """Nothing that a line could not hold gets into one: the peer is left out, and named."""
    view = a_view(speaker("v", BgpPeerItem("203.0.113.1", 64_500, password)))

    assert speeches(view, "") == {}
    assert unusable(view) == ["203.0.113.1"]


def test_one_prefix_by_two_routers_has_one_next_hop() -> None:
    """BGP tells one next hop of a prefix: the first, whatever the order they came in."""
    told = [routes("v", id, ("10.1.0.0/24", f"203.0.113.{id}")) for id in ("5", "6")]

    assert only(speaker("v", PEER), *told) == only(speaker("v", PEER), *reversed(told))
    assert only(speaker("v", PEER), *told).routes == {"10.1.0.0/24": "203.0.113.5"}


def test_hosts_have_identifiers_of_their_own() -> None:
    """A BGP identifier is an IPv4 tunnel address, or a number from the host's id."""
    assert router_id_of("h1", HOST.vtep_addresses) == "192.0.2.7"
    assert router_id_of("h1", ("2001:db8::7",)) != router_id_of("h2", ("2001:db8::7",))
    assert replace(only(speaker("v", PEER)), router_id="") != only(speaker("v", PEER))
