"""What a host holds of scopes held on demand."""

from zlib import crc32

import msgspec
import pytest

from alcor.agent.view import HostView
from alcor.bus.interface import Resume, ScopeUpdate
from alcor.goalstate.item import Item, ItemKind, Key, Neighbour, key_of
from alcor.goalstate.scope import REGION, host_scope, neighbours_scope, network_scope
from tests.support.agent import A_HOST, A_REGION, CODEC, EPOCH, HOST, local_port, neighbour, network, subnet
from tests.unit.agent.test_view import a_view, heads, held_ips, update

OWN, NET, NEIGHBOURS = host_scope(HOST), network_scope("net"), neighbours_scope("net")
ONE, TWO, THREE = (neighbour(number) for number in (1, 2, 3))


def lazily(steps: tuple[int, int], *items: Item, absent: tuple[str, ...] = (), **also: object) -> ScopeUpdate:
    """A step of the neighbours on demand; `steps` is (from, through)."""
    step = update(NEIGHBOURS, steps, *items, **also)  # type: ignore[arg-type]  # as `update` takes them
    return msgspec.structs.replace(step, lazy=True, absent=absent)


def on_demand(*messages: ScopeUpdate) -> HostView:
    """A host in sync at revision 5 with one port and nobody held of its network, that was then told `messages`."""
    return a_view(
        update(REGION, (0, 5), A_REGION),
        update(NET, (0, 5), network(), subnet()),
        lazily((0, 5)),
        update(OWN, (0, 5), A_HOST, local_port(1), since=5),
        heads(5, REGION, NET, NEIGHBOURS, OWN),
        *messages,
    )


def test_nobody_held_is_not_missing() -> None:
    """A port is open in a network of which nothing is held yet; the host can confirm what it was told."""
    view = on_demand()

    assert list(view.resolved.ports) == ["port-1"]
    assert view.lazy(NEIGHBOURS)
    assert view.in_sync
    assert view.realizable() == dict.fromkeys(heads(5, REGION, NET, NEIGHBOURS, OWN).through, 5)


def test_an_answer_may_stand_at_the_position() -> None:
    """Answers add to what is held, at the revision the scope is at or later."""
    view = on_demand(lazily((5, 5), ONE))

    changes = view.apply([lazily((5, 7), TWO, absent=("10.0.0.9",))])

    assert held_ips(view) == {*ONE.ips, *TWO.ips}
    assert view.positions()[NEIGHBOURS] == 7
    assert changes.absent == [(NEIGHBOURS, "10.0.0.9")]
    assert changes.answers == [(NEIGHBOURS, TWO)]


@pytest.mark.parametrize(("steps", "resumed"), [((3, 4), []), ((6, 8), [Resume(NEIGHBOURS, 5)])])
def test_old_steps_and_gaps_change_nothing(steps: tuple[int, int], resumed: list[Resume]) -> None:
    """What ends before the position is old, what begins after it hides something."""
    view = on_demand(lazily((5, 5), ONE))

    changes = view.apply([lazily(steps, TWO)])

    assert held_ips(view) == set(ONE.ips)
    assert changes.resume == resumed


def test_a_whole_scope_turns_and_keeps_what_it_has() -> None:
    """No flow goes when a network grows large; what leaves later was not deleted, as far as the host knows."""
    view = a_view(update(NET, (0, 5), network(), subnet()), update(NEIGHBOURS, (0, 5), ONE, TWO))

    turned = view.apply([lazily((5, 6), THREE)])
    forgotten = view.apply([lazily((6, 6), removed=(key_of(ONE),))])

    assert turned.turned == {NEIGHBOURS}
    assert network_scope("net") in [change.scope for change in turned.items]
    assert held_ips(view) == {*TWO.ips, *THREE.ips}
    assert forgotten.deleted == set()
    assert view.lazy_keys() == {NEIGHBOURS: (key_of(TWO), key_of(THREE))}


def test_a_snapshot_makes_it_whole_again() -> None:
    """Also at the position where it stands; equal items are no change."""
    view = on_demand(lazily((5, 5), ONE))

    changes = view.apply([update(NEIGHBOURS, (0, 5), ONE, TWO)])

    assert not view.lazy(NEIGHBOURS)
    assert changes.turned == {NEIGHBOURS}
    assert [change.key for change in changes.items if change.scope == NEIGHBOURS] == [key_of(TWO)]
    assert view.lazy_keys() == {}


def test_a_step_makes_nothing_whole() -> None:
    """A step that knows nothing of holding on demand is a gap: the whole is asked for."""
    view = on_demand(lazily((5, 5), ONE))

    changes = view.apply([update(NEIGHBOURS, (5, 6), TWO)])

    assert held_ips(view) == set(ONE.ips)
    assert changes.resume == [Resume(NEIGHBOURS, 0)]


def test_a_snapshot_on_demand_replaces_what_is_held() -> None:
    """In chunks as any other, also of a later epoch."""
    view = on_demand(lazily((5, 5), ONE, TWO))

    half = view.apply([lazily((0, 3), THREE, epoch=EPOCH + 1, more=True)])
    rest = (
        update(REGION, (0, 3), A_REGION),
        update(NET, (0, 3), network(), subnet()),
        update(OWN, (0, 3), A_HOST),
    )
    whole = view.apply(
        [
            lazily((0, 3), TWO, epoch=EPOCH + 1),
            *(msgspec.structs.replace(each, epoch=EPOCH + 1) for each in rest),
        ]
    )

    assert half.items == []
    found = {change.key: change.after for change in whole.items if change.scope == NEIGHBOURS}
    assert found == {key_of(ONE): None, key_of(THREE): THREE}
    assert view.positions()[NEIGHBOURS] == 3


def test_heads_raise_it_as_any_scope() -> None:
    """What is held is true through the heads."""
    view = on_demand(lazily((5, 5), ONE))

    view.apply([heads(9, NEIGHBOURS)])

    assert view.positions()[NEIGHBOURS] == 9
    assert view.apply([lazily((9, 9), TWO)]).resume == []


def test_what_is_held_has_a_digest() -> None:
    """Of its bytes as the ncm has them."""
    view = on_demand(lazily((5, 5), ONE))

    assert view.digest(NEIGHBOURS, key_of(ONE)) == crc32(CODEC.encode(ONE))
    assert view.digest(NEIGHBOURS, Key(ItemKind.NEIGHBOUR, "port-2")) is None
    assert isinstance(ONE, Neighbour)
