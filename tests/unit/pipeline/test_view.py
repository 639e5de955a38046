"""The view's indexes."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from alcor.goalstate.indexed import Indexed
from alcor.goalstate.item import Neighbour, NetworkItem
from alcor.pipeline.view import NetworkView, View, neighbours_by_claim

IDS, MACS, IPS = ("a", "b", "c"), ("m1", "m2"), ("i1", "i2", "i3")

a_neighbour = st.builds(
    Neighbour,
    id=st.sampled_from(IDS),
    mac=st.sampled_from(MACS),
    ips=st.lists(st.sampled_from(IPS), max_size=3).map(tuple),
    host_id=st.just("h"),
    vtep=st.just(""),
    groups=st.just(()),
)
WAYS = (
    "set",
    "del",
    "pop",
    "pop_none",
    "setdefault",
    "update",
    "ior",
    "popitem",
    "clear",
    "copy",
    "deepcopy",
)


def change(held: Indexed[Neighbour], way: str, item: Neighbour) -> Indexed[Neighbour]:
    """Change a dict in one of the ways there are."""
    match way:
        case "set":
            held[item.id] = item
        case "del" if item.id in held:
            del held[item.id]
        case "pop" if item.id in held:
            held.pop(item.id)
        case "pop_none":
            held.pop(item.id, None)
        case "setdefault":
            held.setdefault(item.id, item)
        case "update":
            held.update({item.id: item})
        case "ior":
            held |= {item.id: item}
        case "popitem" if held:
            held.popitem()
        case "clear":
            held.clear()
        case "copy":
            return held.copy()
        case "deepcopy":
            return copy.deepcopy(held)
    return held


@given(st.lists(st.tuples(st.sampled_from(WAYS + ("set",) * 10), a_neighbour), max_size=30))
def test_an_index_follows_every_change(changes: list[tuple[str, Neighbour]]) -> None:
    """However a dict is changed, `find` says what a search through it would."""
    held = neighbours_by_claim()

    for way, item in changes:
        held = change(held, way, item)

        for name in (*MACS, *IPS):
            assert set(held.find(name)) == {id for id, each in held.items() if name in (each.mac, *each.ips)}


def test_what_came_first_is_found_first() -> None:
    """An item that is replaced keeps its place: the first port of a network stays the first."""
    held: Indexed[Any] = Indexed(lambda item: (item[0],))
    held["x"], held["y"] = ("net", 1), ("net", 2)

    held["x"] = ("net", 3)

    assert held.find("net") == ("x", "y")


def test_plain_dicts_are_taken_in() -> None:
    """A view may be built from plain dicts; the first question indexes them."""
    item = NetworkItem(id="n", network_type="vxlan", segmentation_id=1, mtu=1450, admin_state_up=True)
    neighbour = Neighbour(id="a", mac="m1", ips=("i1",), host_id="h", vtep="", groups=())
    network = NetworkView(item, neighbours={"a": neighbour})

    assert network.claimants("m1") == ("a",)
    assert View(ports={}).ports_of("n") == ()
