"""A plan is a function of its numbers and its seed."""

from collections import Counter

import pytest

from alcor.lab.command import LabError
from alcor.lab.simulate.fleet import check_file_limit, merge
from alcor.lab.simulate.plan import NetworkPlan, Plan, even, mixed
from alcor.lab.simulate.wire import Told


def test_ports_are_shared_evenly() -> None:
    """Networks differ by one port at most, and have all ports together."""
    assert even(10, 3) == (4, 3, 3)
    assert even(2, 5) == (1, 1)


def test_mixed_sizes_have_a_third_each() -> None:
    """1,000, 100 and 10 ports: as many ports of each."""
    sizes = mixed(6_000)

    assert (sizes.count(1_000), sizes.count(100), sizes.count(10)) == (2, 20, 200)


def test_the_same_seed_places_the_same() -> None:
    """Another seed does not."""
    one, same, other = (Plan(hosts=50, sizes=(30,) * 9, seed=seed) for seed in (1, 1, 2))

    assert list(one.networks()) == list(same.networks())
    assert list(one.networks()) != list(other.networks())
    assert one.sampled() == same.sampled()


def test_a_network_is_on_as_many_hosts_as_its_density_asks_for() -> None:
    """Ten ports a host, but never more hosts than there are; every host has an address of its own."""
    plan = Plan(hosts=5, sizes=(30, 1, 1_000))

    assert [len(network.hosts) for network in plan.networks()] == [3, 1, 5]
    assert len({plan.host_vtep(index) for index in range(5)}) == 5


def test_the_last_of_the_simulated_hosts_are_gateway_hosts() -> None:
    """So many as are wanted, none of the silent ones; more than there are cannot be."""
    plan = Plan(hosts=4, gateways=2, silent=3)

    assert [index for index in range(plan.hosts_there) if plan.is_gateway(index)] == [2, 3]
    with pytest.raises(LabError, match=r"--gateways 5: between 0 and the 4 hosts"):
        Plan(hosts=4, gateways=5)


def test_silent_hosts_have_what_is_beyond_the_density() -> None:
    """Each simulated host has as many ports of a network, however large it is; without silent hosts it has them all."""
    [large] = Plan(hosts=4, sizes=(1_000,), density=10, silent=2).networks()
    [small] = Plan(hosts=4, sizes=(20,), density=10, silent=2).networks()
    [alone] = Plan(hosts=4, sizes=(1_000,), density=10).networks()

    def shares(network: NetworkPlan) -> dict[int, int]:
        return dict(sorted(Counter(network.host_of(place) for place in range(network.ports)).items()))

    assert shares(large) == {0: 10, 1: 10, 2: 10, 3: 10, 4: 480, 5: 480}
    assert list(shares(small).values()) == [10, 10]
    assert shares(alone) == {0: 250, 1: 250, 2: 250, 3: 250}


@pytest.mark.parametrize("ports", [1, 100, 1_000, 100_000, 1_000_000])
def test_a_subnet_has_room_for_its_ports_and_more(ports: int) -> None:
    """Twice as much, so that churn does not fill it."""
    [network] = Plan(hosts=1, sizes=(ports,)).networks()

    assert 1 << (32 - int(network.cidr.rpartition("/")[2])) >= 2 * ports


@pytest.mark.parametrize(
    ("said", "named"), [({"hosts": 0}, "--hosts"), ({"sizes": ()}, "--ports"), ({"share": 0.0}, "--share")]
)
def test_a_plan_that_cannot_be_says_which_number(said: dict[str, object], named: str) -> None:
    """By the name of its flag."""
    with pytest.raises(LabError, match=named):
        Plan(**said)  # type: ignore[arg-type]  # what is tested


def test_too_few_open_files_is_a_sentence_with_a_way_out() -> None:
    """It names who needs how many, and what to do."""
    check_file_limit(1_000, {"workers": 2}, 1_024)

    with pytest.raises(LabError, match=r"10,000 hosts need 5,256 open files in each of 2 workers.*ulimit"):
        check_file_limit(10_000, {"workers": 2}, 1_024)


def test_what_workers_noted_of_one_item_is_added() -> None:
    """Hosts are counted, times are the first and the last of all."""
    merged: dict[tuple[str, str, bool], Told] = {}
    merge(merged, Told("neighbour", "p", False, 2, 1, 5.0, 6.0, 6.5, 6.5))
    merge(merged, Told("neighbour", "p", False, 3, 3, 4.0, 5.5, 5.0, 7.0))

    assert merged == {("neighbour", "p", False): Told("neighbour", "p", False, 5, 4, 4.0, 6.0, 5.0, 7.0)}
