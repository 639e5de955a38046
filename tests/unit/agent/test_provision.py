"""Which ports a host's switch must have."""

from alcor.agent.driver import InternalPort, PatchPort, TunnelPort
from alcor.agent.provision import probed_vteps, provisions
from alcor.goalstate.item import BridgeMapping, HostItem, NetworkHost, NetworkRelays, RelayItem
from alcor.goalstate.router_item import GatewayHost, GatewayItem
from alcor.model.address import Ip
from alcor.pipeline.view import Allocation, NetworkView, View
from tests.support.agent import HOST, VTEP, network, router

FAR = "192.0.2.7"


def a_view(*, host_id: str = HOST, vteps: tuple[str, ...] = (VTEP,), bridges: tuple[str, ...] = ()) -> View:
    """A host with two networks; on one of them is another host with ports, `FAR`."""
    mappings = tuple(BridgeMapping(f"physical-{bridge}", bridge) for bridge in bridges)
    view = View()
    view.host = HostItem(
        id=host_id, name="h", vtep_addresses=vteps, token_digest="", bridge_mappings=mappings
    )
    view.networks["net"] = NetworkView(network())
    view.networks["far"] = NetworkView(network("far", 200, network_type="geneve"))
    view.networks["far"].hosts["far"] = NetworkHost(id="far", vtep=FAR)
    return view


def test_tunnels_of_the_networks_types() -> None:
    """One tunnel port per overlay type of the networks, and the default one always; none without a VTEP."""
    assert provisions(a_view(), None).tunnels == ("geneve", "vxlan")
    assert provisions(a_view(vteps=()), None).tunnels == ()
    assert provisions(View(), None).tunnels == ()


def test_cables_to_provider_bridges() -> None:
    """One cable per bridge mapping; its two ends have different names, short enough for a switch, the same for ever."""
    found = provisions(a_view(bridges=("br-a", "br-b")), None)

    assert found.providers == provisions(a_view(bridges=("br-a", "br-b")), None).providers
    assert {network: port.bridge for network, port in found.providers.items()} == {
        "physical-br-a": "br-a",
        "physical-br-b": "br-b",
    }
    names = [name for port in found.providers.values() for name in (port.name, port.peer)]
    assert len(set(names)) == 4
    assert max(map(len, names)) <= 15


def test_gateway_hosts_are_watched() -> None:
    """A host watches the gateway hosts of its routers, not itself, and each once."""
    view = a_view()
    both = (GatewayHost(HOST, VTEP), GatewayHost("gw", FAR))
    view.routers["a"] = router("a", gateway_hosts=both)
    view.routers["b"] = router("b", gateway_hosts=both)

    probes = provisions(view, None).probes

    assert list(probes) == [("vxlan", FAR)]
    assert probes["vxlan", FAR].remote == FAR
    assert probes["vxlan", FAR].local == VTEP


def test_a_gateway_host_watches_back() -> None:
    """A gateway host watches every host with ports behind the routers it serves: a watch needs both ends."""
    view = a_view()
    view.routers["a"] = router("a", ("net", "far"))
    assert provisions(view, None).probes == {}

    view.gateways["a"] = GatewayItem(id="a", networks=())
    assert [vtep for _, vtep in provisions(view, None).probes] == [FAR]


def test_relays_and_the_hosts_of_their_networks_watch_each_other() -> None:
    """A host watches the relays of its networks, a relay the hosts of the networks it relays."""
    view = a_view()
    network = view.networks["net"]
    network.hosts = {id: NetworkHost(id=id, vtep=vtep) for id, vtep in ((HOST, VTEP), ("far", FAR))}
    network.relays = NetworkRelays(id="net", hosts=(GatewayHost("gw", "192.0.2.77"),))

    assert probed_vteps(view) == {"192.0.2.77"}
    view.relays["net"] = RelayItem(id="net")
    assert probed_vteps(view) == {"192.0.2.77", FAR}


def test_an_end_of_a_family_the_host_lacks_is_not_watched() -> None:
    """A gateway host of an address family of which this host has none cannot be reached, and is not watched."""
    view = a_view(vteps=("2001:db8::1",))
    view.routers["a"] = router("a", gateway_hosts=(GatewayHost("gw", FAR), GatewayHost("g6", "2001:db8::2")))

    assert [port.local for port in provisions(view, None).probes.values()] == [Ip("2001:db8::1")]


def test_numbers_of_ports() -> None:
    """The numbers the switch gave are told by what the ports are for; a port that was not made is not there."""
    view = a_view(bridges=("br-a", "br-b"))
    view.routers["a"] = router("a", gateway_hosts=(GatewayHost("gw", FAR),))
    found = provisions(view, InternalPort("md0"))
    names = [port.name for port in found.ports]
    allocation = Allocation()

    found.note({name: number for number, name in enumerate(names, 10) if number != 11}, allocation)

    assert [type(port) for port in found.ports] == [PatchPort, PatchPort, TunnelPort, InternalPort]
    assert allocation.providers == {"physical-br-a": 10}
    assert allocation.probes == {("vxlan", FAR): 12}
    assert allocation.metadata_ofport == 13
    found.note({}, allocation)
    assert (allocation.providers, allocation.probes, allocation.metadata_ofport) == ({}, {}, 0)


def test_who_is_not_known_to_gateway_hosts_does_not_watch_them() -> None:
    """Of a network on many hosts only relays know all: neither end of a path behind its routers is watched."""
    view = a_view()
    view.routers["a"] = router("a", ("far",), gateway_hosts=(GatewayHost("gw", FAR),))
    view.networks["far"].relays = NetworkRelays(id="far", hosts=(GatewayHost("gw", FAR),))
    assert probed_vteps(view) == {FAR}

    view.networks["far"].hosts.clear()

    assert probed_vteps(view) == set()
