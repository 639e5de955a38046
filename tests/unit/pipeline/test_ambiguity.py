"""While knowledge is in transit two may claim one thing; then neither is believed."""

from ipaddress import ip_address

import pytest

from alcor.goalstate.item import HostItem, LocalPort, Neighbour, NetworkItem
from alcor.model.address import Mac, mac_int
from alcor.pipeline.compile import flows
from alcor.pipeline.flow import Field, Term
from alcor.pipeline.tables import Table
from alcor.pipeline.view import Allocation, NetworkView, View

MAC_A, MAC_B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


def a_local_port(id: str, mac: str, network_id: str = "n") -> LocalPort:
    return LocalPort(
        id=id,
        network_id=network_id,
        name="",
        mac=mac,
        addresses=(),
        admin_state_up=True,
        port_security_enabled=True,
        groups=(),
    )


def a_neighbour(id: str, mac: str, ip: str = "10.0.0.5", vtep: str = "192.0.2.2") -> Neighbour:
    return Neighbour(id=id, mac=mac, ips=(ip,), host_id="h2", vtep=vtep, groups=())


def a_network(id: str = "n", vni: int = 5001) -> NetworkView:
    return NetworkView(
        NetworkItem(id=id, network_type="vxlan", segmentation_id=vni, mtu=1450, admin_state_up=True)
    )


@pytest.fixture
def view() -> View:
    """A host with one port of one network."""
    view = View(host=HostItem(id="h1", name="h1", vtep_addresses=("192.0.2.1",), token_digest=""))
    view.networks["n"] = a_network()
    view.ports["local"] = a_local_port("local", MAC_A)
    return view


NUMBERS = Allocation(
    port_keys={"local": 1, "other": 2},
    network_keys={"n": 7, "m": 8},
    ofports={"local": 101, "other": 102},
    tunnels={"vxlan": 1},
)


def matched(view: View, table: Table, term: Term) -> int:
    """How many flows of a table have this condition and let something through."""
    found = [flow for flow in flows(view, NUMBERS).values() if flow.table == table and flow.actions]
    return sum(term in flow.match for flow in found)


def to_mac(mac: str) -> Term:
    return Term(Field.ETH_DST, mac_int(Mac(mac)))


FOR_IP = Term(Field.ARP_TPA, int(ip_address("10.0.0.5")))


def test_a_port_and_its_own_neighbour_item_are_no_conflict(view: View) -> None:
    """A port that moved here while its neighbour item still names the old host is delivered to here."""
    view.networks["n"].neighbours["local"] = a_neighbour("local", MAC_A)

    assert matched(view, Table.L2, to_mac(MAC_A)) == 1


def test_a_mac_claimed_by_a_local_port_and_a_neighbour_is_nobodys(view: View) -> None:
    """One of them is stale and may belong to a machine that is gone: neither gets the packet."""
    view.networks["n"].neighbours["far"] = a_neighbour("far", MAC_A)

    assert matched(view, Table.L2, to_mac(MAC_A)) == 0
    assert matched(view, Table.L2_REMOTE, to_mac(MAC_A)) == 0


def test_a_mac_claimed_by_two_local_ports_is_nobodys(view: View) -> None:
    """The same between ports of one host."""
    view.ports["other"] = a_local_port("other", MAC_A)

    assert matched(view, Table.L2, to_mac(MAC_A)) == 0


def test_a_mac_in_two_networks_is_no_conflict(view: View) -> None:
    """MACs are unique in a network only."""
    view.networks["m"] = a_network("m", 5002)
    view.ports["other"] = a_local_port("other", MAC_A, "m")

    assert matched(view, Table.L2, to_mac(MAC_A)) == 2


def test_a_mac_claimed_by_two_neighbours_is_nobodys(view: View) -> None:
    """And it is one's again as soon as the other is gone."""
    neighbours = view.networks["n"].neighbours
    neighbours["far"] = a_neighbour("far", MAC_B)
    neighbours["near"] = a_neighbour("near", MAC_B, "10.0.0.6")
    assert matched(view, Table.L2_REMOTE, to_mac(MAC_B)) == 0

    del neighbours["near"]

    assert matched(view, Table.L2_REMOTE, to_mac(MAC_B)) == 1


def test_an_address_claimed_by_two_neighbours_is_answered_for_neither(view: View) -> None:
    """The question then goes to all, and its owner answers."""
    neighbours = view.networks["n"].neighbours
    neighbours["far"] = a_neighbour("far", MAC_B)
    assert matched(view, Table.ARP_ND, FOR_IP) == 1

    neighbours["near"] = a_neighbour("near", "02:00:00:00:00:0c")

    assert matched(view, Table.ARP_ND, FOR_IP) == 0


def test_a_segment_claimed_by_two_networks_is_closed_from_outside(view: View) -> None:
    """A packet from a tunnel must never reach another network's ports."""
    from_tunnel = Term(Field.TUN_ID, 5001)
    assert matched(view, Table.CLASSIFY, from_tunnel) == 1

    view.networks["m"] = a_network("m", 5001)
    view.ports["other"] = a_local_port("other", MAC_B, "m")

    assert matched(view, Table.CLASSIFY, from_tunnel) == 0


def test_a_neighbour_on_this_host_is_not_sent_into_a_tunnel(view: View) -> None:
    """Where the VTEP is this host's own there is local delivery only."""
    view.networks["n"].neighbours["near"] = a_neighbour("near", MAC_B, vtep="192.0.2.1")

    assert matched(view, Table.L2_REMOTE, to_mac(MAC_B)) == 0


def test_a_network_without_open_local_ports_delivers_to_nobody(view: View) -> None:
    """What is known of a network opens no port of it: nothing comes from there, nothing goes there."""
    view.networks["n"].neighbours["far"] = a_neighbour("far", MAC_B)
    view.closed["local"] = view.ports.pop("local")

    tables = {flow.table for flow in flows(view, NUMBERS).values()}

    assert Table.PORT_SECURITY_ND in tables
    assert tables.isdisjoint({Table.OUTPUT, Table.PUNT_PORT})


def test_a_host_that_does_not_know_itself_sends_nothing_abroad(view: View) -> None:
    """Without its own VTEPs it cannot tell others from itself."""
    view.networks["n"].neighbours["far"] = a_neighbour("far", MAC_B)
    view.host = None

    assert matched(view, Table.L2_REMOTE, to_mac(MAC_B)) == 0
    assert matched(view, Table.CLASSIFY, Term(Field.TUN_ID, 5001)) == 0
