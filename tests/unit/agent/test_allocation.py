"""Local numbers: kept before use, recycled after rest, the same after a restart."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.agent.allocation import REST_S, LocalNumbers, Numbered, NumberPool, Owners, zone_of
from alcor.model.errors import Exhausted
from tests.support.agent import Clock


def of(ports: Iterable[str] = (), networks: Iterable[str] = (), routers: Iterable[str] = ()) -> Owners:
    """Owners by kind."""
    ids = (tuple(ports), tuple(networks), tuple(routers))
    return dict(zip((Numbered.PORT, Numbered.NETWORK, Numbered.ROUTER), ids, strict=True))


def numbered(clock: Clock, *ports: str) -> LocalNumbers:
    """Numbers that are saved."""
    numbers = LocalNumbers(clock.monotonic_s)
    numbers.saved(numbers.take(of(ports)))
    return numbers


def test_the_lowest_free_number_is_taken() -> None:
    """Numbers begin at 1, and the lowest free one is taken: keys stay small and flows readable."""
    numbers = numbered(Clock(), "a", "b")
    numbers.saved(numbers.take(of(("c",), ("net",))))

    assert numbers.allocation.port_keys == {"a": 1, "b": 2, "c": 3}
    assert numbers.allocation.network_keys == {"net": 1}
    assert [numbers.owner_of(Numbered.PORT, key) for key in (1, 2, 3, 4)] == ["a", "b", "c", None]


def test_a_number_counts_only_when_saved() -> None:
    """Between `take` and `saved` no flow can see the number; one that could not be saved is taken again."""
    numbers = LocalNumbers(Clock().monotonic_s)
    taken = numbers.take(of(("a",)))
    assert numbers.allocation.port_keys == {}

    numbers.not_saved(taken)

    assert numbers.take(of(("b",))) == {"port:b": 1}


def test_a_freed_number_rests() -> None:
    """A freed number is not the next one taken until it has rested."""
    clock = Clock()
    numbers = numbered(clock, "a", "b")
    numbers.free(["port:a"])
    assert numbers.owner_of(Numbered.PORT, 1) is None
    assert numbers.take(of(("c",))) == {"port:c": 3}

    clock.s += REST_S
    assert numbers.take(of(("d",))) == {"port:d": 1}


def test_rest_yields_when_nothing_else_is_left() -> None:
    """A pool of which only resting numbers are left gives the one that rested longest; an empty one says so."""
    clock = Clock()
    pool = NumberPool(3, clock.monotonic_s)
    for owner in "abc":
        pool.take(owner, "port keys")
    pool.release("b")
    clock.s += 1
    pool.release("a")

    assert pool.take("d", "port keys") == 2
    assert pool.take("e", "port keys") == 1
    with pytest.raises(Exhausted, match="No more port keys available on this host"):
        pool.take("f", "port keys")


def test_exhaustion_takes_nothing() -> None:
    """If one of several cannot be numbered, none is: the others' numbers are free again."""
    numbers = LocalNumbers(Clock().monotonic_s)
    numbers.pools[Numbered.NETWORK].maximum = 1
    with pytest.raises(Exhausted):
        numbers.take(of(("a",), ("n1", "n2")))

    numbers.pools[Numbered.NETWORK].maximum = 2
    assert numbers.take(of(("a",), ("n1", "n2"))) == {"port:a": 1, "network:n1": 1, "network:n2": 2}


def test_a_restart_keeps_numbers() -> None:
    """What was kept is adopted; nothing needs to be saved, and new numbers fill the gaps."""
    numbers = LocalNumbers(Clock().monotonic_s)

    wrong = numbers.load({"port:a": 3, "network:n": 1, "epoch": 9})

    assert wrong == ({}, [])
    assert numbers.epoch == 9
    assert numbers.allocation.port_keys == {"a": 3}
    assert numbers.take(
        of(
            (
                "b",
                "c",
                "d",
            )
        )
    ) == {"port:b": 1, "port:c": 2, "port:d": 4}


def test_a_database_made_anew() -> None:
    """If the database lost our numbers they are saved again: flows use them."""
    numbers = numbered(Clock(), "a")
    numbers.epoch = 9

    assert numbers.load({}) == ({"port:a": 1, "epoch": 9}, [])


@pytest.mark.parametrize("number", [0, -1, 65_536, 2**40])
def test_impossible_numbers_are_removed(number: int) -> None:
    """A number out of range, or held by another, is not adopted; its name is removed."""
    numbers = LocalNumbers(Clock().monotonic_s)

    assert numbers.load({"port:a": number, "port:b": 1, "port:c": 1}) == ({}, ["port:a", "port:c"])
    assert numbers.take(of(("a",))) == {"port:a": 2}


@given(st.lists(st.tuples(st.sampled_from("tfw"), st.integers(0, 8)), max_size=60))
def test_live_owners_never_share_a_number(steps: list[tuple[str, int]]) -> None:
    """Whatever is taken, freed and waited for: no two owners hold one number, and all are in range."""
    clock = Clock()
    numbers = LocalNumbers(clock.monotonic_s)
    numbers.pools[Numbered.PORT].maximum = 9
    for action, n in steps:
        if action == "t":
            numbers.saved(numbers.take(of((f"p{n}",))))
        elif action == "f":
            numbers.free(name for name in [f"port:p{n}"] if f"p{n}" in numbers.allocation.port_keys)
        else:
            clock.s += 10 * n

        held = list(numbers.allocation.port_keys.values())
        assert len(set(held)) == len(held)
        assert all(1 <= number <= 9 for number in held)
        assert all(
            numbers.owner_of(Numbered.PORT, key) == owner
            for owner, key in numbers.allocation.port_keys.items()
        )


def test_each_kind_has_its_own_numbers() -> None:
    """Ports, networks and routers are numbered apart, and each number leads back to its owner."""
    numbers = LocalNumbers(Clock().monotonic_s)
    numbers.saved(numbers.take(of(("x",), ("x",), ("x", "y"))))

    assert numbers.allocation.router_keys == {"x": 1, "y": 2}
    assert numbers.kept() == {"port:x": 1, "network:x": 1, "router:x": 1, "router:y": 2}
    assert [numbers.owner_of(what, 2) for what in Numbered] == [None, None, "y", None]
    assert numbers.unused(of((), ("x",), ("y",))) == ["port:x", "router:x"]


def test_the_largest_keys() -> None:
    """A port key has 15 bits, and a router key is what is left of the 16 bits of a conntrack zone."""
    kept = {"port:a": 32_767, "port:b": 32_768, "router:a": 32_767, "router:b": 32_768}

    assert LocalNumbers(Clock().monotonic_s).load(kept) == ({}, ["port:b", "router:b"])


def test_zones() -> None:
    """A port's conntrack zone is its key, a router's is above all ports', a network has none."""
    assert zone_of("port:a", 7) == 7
    assert zone_of("router:a", 7) == 32_768 + 7
    assert zone_of("network:a", 7) is None
