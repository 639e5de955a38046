"""What a host holds: the rules of delivery, and when a port is open."""

from itertools import permutations

import pytest

from alcor.agent.view import Changes, HostView
from alcor.bus.interface import Dropped, Envelope, Heads, Resume, ScopeUpdate
from alcor.goalstate.item import Item, Key, key_of
from alcor.goalstate.scope import REGION, Scope, host_scope, neighbours_scope, network_scope, shard_of
from alcor.goalstate.security_item import NetworkAclItem
from tests.support.agent import (
    A_HOST,
    A_REGION,
    CODEC,
    EPOCH,
    HOST,
    envelope,
    local_port,
    neighbour,
    network,
    subnet,
)

OWN, NET, NEIGHBOURS = host_scope(HOST), network_scope("net"), neighbours_scope("net")


def update(
    scope: Scope,
    steps: tuple[int, int],
    *items: Item,
    removed: tuple[Key, ...] = (),
    since: int = 0,
    epoch: int = EPOCH,
    generation: int = 1,
    more: bool = False,
) -> ScopeUpdate:
    """A step of a scope; `steps` is (from, through)."""
    return ScopeUpdate(
        scope=scope,
        epoch=epoch,
        generation=generation,
        from_revision=steps[0],
        through=steps[1],
        put=tuple(envelope(item, since) for item in items),
        removed=removed,
        more=more,
    )


def heads(through: int, *scopes: Scope, epoch: int = EPOCH, generation: int = 1) -> Heads:
    """Heads of the scopes' shards."""
    return Heads(epoch=epoch, generation=generation, through={shard_of(scope): through for scope in scopes})


def a_view(*messages: ScopeUpdate | Heads | Dropped) -> HostView:
    """A view that was told these."""
    view = HostView(HOST, CODEC)
    view.begin(EPOCH)
    view.apply(messages)
    return view


def held_ips(view: HostView) -> set[str]:
    """The neighbours' addresses."""
    return {ip for one in view.resolved.networks["net"].neighbours.values() for ip in one.ips}


def in_net(*neighbours: int) -> list[ScopeUpdate]:
    """Snapshots at revision 5 of a network and these neighbours."""
    return [
        update(NET, (0, 5), network(), subnet()),
        update(NEIGHBOURS, (0, 5), *(neighbour(number) for number in neighbours)),
    ]


@pytest.mark.parametrize(
    ("steps", "applied", "resumed"),
    [
        ((5, 6), True, False),
        ((3, 6), True, False),
        ((0, 6), True, False),
        ((4, 5), False, False),
        ((0, 5), False, False),
        ((0, 4), False, False),
        ((6, 7), False, True),
    ],
)
def test_a_step_applies_iff_it_covers_the_position(
    steps: tuple[int, int], applied: bool, resumed: bool
) -> None:
    """At position 5 a step applies iff from ≤ 5 < through, an old one is ignored, a gap asks to resume from 5."""
    view = a_view(*in_net(1))

    changes = view.apply([update(NEIGHBOURS, steps, neighbour(1), neighbour(2))])

    assert held_ips(view) == ({"10.0.0.1", "10.0.0.2"} if applied else {"10.0.0.1"})
    assert changes.resume == ([Resume(NEIGHBOURS, 5)] if resumed else [])
    assert view.positions()[NEIGHBOURS] == (steps[1] if applied else 5)


def test_a_step_of_an_unknown_scope_asks_from_nothing() -> None:
    """A step of a scope that is not held is a gap from 0; until the answer is whole the scope is missing."""
    view = a_view()

    changes = view.apply([update(NET, (3, 4), subnet())])

    assert changes.resume == [Resume(NET, 0)]
    assert NET not in view.positions()


def test_a_gap_is_asked_once() -> None:
    """While the answer to a gap is on its way later steps ask nothing, and the answer covers them."""
    view = a_view(*in_net(1))
    gap = [update(NEIGHBOURS, (6, 7), neighbour(7)), update(NEIGHBOURS, (7, 8), neighbour(8))]
    assert view.apply(gap).resume == [Resume(NEIGHBOURS, 5)]

    view.begin(EPOCH)
    assert view.apply([update(NEIGHBOURS, (6, 7), neighbour(7))]).resume == [Resume(NEIGHBOURS, 5)]


def test_the_answer_to_a_gap() -> None:
    """The answer to a resume is a step from the position: it applies, and the scope goes on."""
    view = a_view(*in_net(1), update(NEIGHBOURS, (6, 7), neighbour(7)))

    view.apply([update(NEIGHBOURS, (5, 8), neighbour(6), neighbour(7), neighbour(8))])

    assert held_ips(view) == {"10.0.0.1", "10.0.0.6", "10.0.0.7", "10.0.0.8"}
    assert view.positions()[NEIGHBOURS] == 8


def test_a_head_does_not_jump_over_a_gap() -> None:
    """A head raises what is held up to it, but not a scope with a gap: that would lose what the gap hides."""
    view = a_view(*in_net(1), update(NEIGHBOURS, (6, 7), neighbour(7)))

    view.apply([heads(9, NET, NEIGHBOURS)])

    assert view.positions() == {NET: 9, NEIGHBOURS: 5}


def test_a_snapshot_in_chunks_replaces_at_its_end() -> None:
    """Chunks show nothing until the last one; then what none of them mentioned is gone, and removed items too."""
    view = a_view(*in_net(1, 2))

    view.apply([update(NEIGHBOURS, (0, 8), neighbour(3), neighbour(4), more=True)])
    assert held_ips(view) == {"10.0.0.1", "10.0.0.2"}
    assert view.positions()[NEIGHBOURS] == 5

    changes = view.apply([update(NEIGHBOURS, (0, 9), neighbour(1), removed=(key_of(neighbour(4)),))])
    assert held_ips(view) == {"10.0.0.1", "10.0.0.3"}
    assert view.positions()[NEIGHBOURS] == 9
    assert {(change.key.id, change.after is None) for change in changes.items} == {
        ("port-2", True),
        ("port-3", False),
    }


def test_a_head_between_chunks_is_asked_for() -> None:
    """A head that passed while a snapshot was not whole is asked for at its end, or the scope might stay behind."""
    view = a_view(*in_net(1), update(NEIGHBOURS, (0, 8), neighbour(3), more=True), heads(9, NEIGHBOURS))
    assert view.positions()[NEIGHBOURS] == 5

    changes = view.apply([update(NEIGHBOURS, (0, 8), neighbour(4))])

    assert changes.resume == [Resume(NEIGHBOURS, 8)]
    view.apply([update(NEIGHBOURS, (8, 9)), heads(10, NEIGHBOURS)])
    assert view.positions()[NEIGHBOURS] == 10


def test_a_new_stream_voids_chunks() -> None:
    """Half a snapshot of a broken stream is not mixed with the next stream's."""
    view = a_view(*in_net(1), update(NEIGHBOURS, (0, 8), neighbour(3), more=True))

    view.begin(EPOCH)
    view.apply([update(NEIGHBOURS, (0, 9), neighbour(4))])

    assert held_ips(view) == {"10.0.0.4"}


def test_half_a_scope_is_forgotten_with_its_stream() -> None:
    """A scope of which a broken stream said only half may never be spoken of again: the host is in sync without it."""
    whole = update(OWN, (0, 5), A_HOST), update(REGION, (0, 5), A_REGION)
    view = a_view(*whole, update(NET, (0, 8), network(), more=True))
    assert not view.in_sync

    view.begin(EPOCH)
    view.apply([heads(9, OWN, REGION)])

    assert view.in_sync
    assert view.offer() == {OWN: 9, REGION: 9}


def test_what_is_offered_of_an_older_epoch() -> None:
    """A hello tells also what is held of an older epoch, from where nothing leads on: who hears it has it dropped."""
    view = a_view(*in_net(1))

    view.begin(EPOCH + 1)
    assert view.offer() == {NET: 0, NEIGHBOURS: 0}
    assert view.positions() == {}

    view.apply([update(NET, (0, 3), network(), epoch=EPOCH + 1)])
    assert view.offer() == {NET: 3, NEIGHBOURS: 0}


@pytest.mark.parametrize(
    ("epoch", "generation", "accepted"),
    [(EPOCH, 2, True), (EPOCH, 3, True), (EPOCH, 1, False), (EPOCH - 1, 9, False)],
)
def test_lower_epochs_and_generations_are_refused(epoch: int, generation: int, accepted: bool) -> None:
    """After generation 2 spoke for a shard, steps and heads of a lower (epoch, generation) change nothing (I9)."""
    view = a_view(*in_net(1))
    view.apply([heads(5, NEIGHBOURS, generation=2)])

    view.apply([update(NEIGHBOURS, (5, 6), neighbour(2), epoch=epoch, generation=generation)])
    view.apply([heads(7, NEIGHBOURS, epoch=epoch, generation=generation)])

    assert (held_ips(view) == {"10.0.0.1", "10.0.0.2"}) is accepted
    assert view.positions()[NEIGHBOURS] == (7 if accepted else 5)


def test_a_new_stream_may_speak_by_an_older_generation() -> None:
    """An ncm that has not heard yet of a shard's new holder is right all the same; were it refused, heads would pass
    over what it said."""
    view = a_view(update(NEIGHBOURS, (0, 1), neighbour(1)), heads(1, NEIGHBOURS, generation=2))
    view.begin(EPOCH)

    view.apply([update(NEIGHBOURS, (1, 2), neighbour(2))])
    view.apply([heads(3, NEIGHBOURS, generation=2)])

    assert view.positions()[NEIGHBOURS] == 3
    assert {key.id for key in view.lazy_held(NEIGHBOURS)} == {"port-1", "port-2"}


def test_another_hosts_scope_is_not_held() -> None:
    """What belongs to another host is ignored, whoever sends it."""
    view = a_view(update(host_scope("host-2"), (0, 5), local_port(1)))

    assert view.positions() == {}
    assert view.resolved.closed == {}


def test_an_unreadable_step_is_not_applied() -> None:
    """A step with an item that cannot be read raises, names the item, and leaves the scope as it was."""
    view = a_view(*in_net(1))
    broken = envelope(neighbour(2))
    broken = Envelope(broken.key, broken.since, broken.refers, b"\xff\xff")
    step = ScopeUpdate(
        scope=NEIGHBOURS,
        epoch=EPOCH,
        generation=1,
        from_revision=5,
        through=6,
        put=(broken,),
        removed=(key_of(neighbour(1)),),
    )

    with pytest.raises(ValueError, match="port-2"):
        view.apply([step])

    assert held_ips(view) == {"10.0.0.1"}
    assert view.positions()[NEIGHBOURS] == 5


# --- when a port is open -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_open_iff_the_references_are_held_through_since(order: tuple[int, ...]) -> None:
    """In every order of arrival: the port is open exactly when network and neighbours are held through its since."""
    messages: list[ScopeUpdate | Heads] = [
        update(OWN, (0, 9), A_HOST, local_port(1), since=8),
        update(NET, (0, 5), network()),
        update(NEIGHBOURS, (0, 8), neighbour(1)),
        heads(8, NET),
    ]
    view = a_view()
    told = set()

    for index in order:
        view.apply([messages[index]])
        told.add(index)
        raised = 3 in told and order.index(3) > order.index(1)
        is_open = {0, 1, 2} <= told and raised
        assert ("port-1" in view.resolved.ports) is is_open
        assert ("port-1" in view.resolved.closed) is (0 in told and not is_open)


def test_a_new_reference_closes_until_it_is_known() -> None:
    """A port that is put with a later since is closed, though its network is held, until the head reaches it."""
    view = a_view(*in_net(1), update(OWN, (0, 5), A_HOST, local_port(1), since=5))
    assert "port-1" in view.resolved.ports

    changes = view.apply([update(OWN, (5, 7), local_port(1), since=7)])
    assert view.resolved.closed.keys() == {"port-1"}
    assert changes.reopened == {"port-1"}

    changes = view.apply([heads(7, NET, NEIGHBOURS)])
    assert view.resolved.ports.keys() == {"port-1"}
    assert changes.reopened == {"port-1"}


def test_a_dropped_scope_closes() -> None:
    """A network that is dropped while a port refers to it closes the port; host and region cannot be dropped."""
    view = a_view(
        *in_net(1), update(OWN, (0, 5), A_HOST, local_port(1), since=5), update(REGION, (0, 5), A_REGION)
    )
    assert view.in_sync

    view.apply([Dropped(OWN), Dropped(REGION)])
    assert view.in_sync
    view.apply([Dropped(NET)])

    assert view.resolved.closed.keys() == {"port-1"}
    assert view.resolved.networks == {}
    assert view.missing() == [NET]
    assert not view.in_sync


def test_a_network_without_its_own_item_closes() -> None:
    """A network scope that is held and empty is no network: its ports are closed."""
    view = a_view(update(NET, (0, 5)), update(NEIGHBOURS, (0, 5)), update(OWN, (0, 5), A_HOST, local_port(1)))
    assert view.resolved.closed.keys() == {"port-1"}

    changes = view.apply([update(NET, (5, 6), network())])
    assert view.resolved.ports.keys() == {"port-1"}
    assert changes.reopened == {"port-1"}


def test_an_older_epoch_does_not_resolve() -> None:
    """A reference of a new epoch is not resolved by a target of the old one, whatever its revision."""
    view = a_view(update(NET, (0, 500), network()), update(NEIGHBOURS, (0, 500)))

    view.apply([update(OWN, (0, 5), A_HOST, local_port(1), epoch=EPOCH + 1)])
    assert view.resolved.closed.keys() == {"port-1"}

    view.apply([update(NET, (0, 5), network(), epoch=EPOCH + 1)])
    view.apply([update(NEIGHBOURS, (0, 5), epoch=EPOCH + 1)])
    assert view.resolved.ports.keys() == {"port-1"}


def test_steps_of_a_new_epoch_need_a_snapshot() -> None:
    """A step of a new epoch on a scope of the old one is a gap from nothing: positions do not compare."""
    view = a_view(*in_net(1))

    changes = view.apply([update(NEIGHBOURS, (4, 6), neighbour(2), epoch=EPOCH + 1)])

    assert changes.resume == [Resume(NEIGHBOURS, 0)]
    assert held_ips(view) == {"10.0.0.1"}
    assert view.positions() == {}


# --- what is told ------------------------------------------------------------------------------------------


def test_realizable_is_the_lowest_of_the_shard() -> None:
    """A shard is acknowledged through the lowest position of the scopes held in it."""
    view = a_view(*in_net(1), update(OWN, (0, 7), A_HOST), update(REGION, (0, 9), A_REGION))
    view.apply([update(NET, (5, 6))])

    found = view.realizable()

    assert found[shard_of(NET)] == 6
    assert found[shard_of(NEIGHBOURS)] == 5
    assert found[shard_of(OWN)] == 7


def test_a_missing_scope_keeps_its_shard_from_being_acknowledged() -> None:
    """A shard with a scope the host needs and does not hold is not acknowledged, though others of it are held (I14)."""
    same = next(f"net-{n}" for n in range(10_000) if shard_of(network_scope(f"net-{n}")) == shard_of(NET))
    own = update(OWN, (0, 5), A_HOST, local_port(1), local_port(2, same))
    view = a_view(*in_net(1), own)

    assert shard_of(NET) not in view.realizable()
    assert set(view.missing()) == {REGION, network_scope(same), neighbours_scope(same)}

    view.apply([update(network_scope(same), (0, 4), network(same))])
    assert view.realizable()[shard_of(NET)] == 4


def test_an_older_epoch_keeps_its_shard_from_being_acknowledged() -> None:
    """A scope that is still held in the old epoch is not acknowledged by another of its shard in the new one."""
    same = next(f"net-{n}" for n in range(10_000) if shard_of(network_scope(f"net-{n}")) == shard_of(NET))
    view = a_view(update(REGION, (0, 5), A_REGION), update(NET, (0, 5), network()))

    view.apply([update(network_scope(same), (0, 9), network(same), epoch=EPOCH + 1)])

    assert view.realizable() == {}
    view.apply([update(NET, (0, 8), network(), epoch=EPOCH + 1)])
    assert view.realizable() == {shard_of(NET): 8}


def test_what_a_snapshot_lost_and_what_was_deleted() -> None:
    """Ports that a snapshot does not hold are told apart from those that a logged step removed."""
    ports = [local_port(number) for number in (1, 2, 3)]
    view = a_view(update(OWN, (0, 5), A_HOST, *ports))

    stepped = view.apply([update(OWN, (5, 6), removed=(key_of(ports[0]),))])
    replaced = view.apply([update(OWN, (0, 7), A_HOST, ports[2])])

    assert (stepped.deleted, stepped.lost) == ({"port-1"}, {})
    assert (replaced.deleted, replaced.lost) == (set(), {"port-2": ports[1]})


def test_an_equal_item_is_no_change() -> None:
    """A step that puts what is held already moves the position and changes nothing."""
    view = a_view(*in_net(1))

    changes = view.apply([update(NEIGHBOURS, (5, 6), neighbour(1))])

    assert changes == Changes()
    assert view.positions()[NEIGHBOURS] == 6


def test_an_empty_scope_at_revision_zero() -> None:
    """The snapshot of a region without history is through 0, and the scope counts as held."""
    view = a_view(update(REGION, (0, 0), A_REGION))

    assert view.positions() == {REGION: 0}
    assert view.resolved.region == A_REGION


def test_a_network_without_one_of_its_acls_is_not_known() -> None:
    """What restricts is not to be missed: ports are closed until every ACL that the network names is there."""
    acl = NetworkAclItem(id="acl", cidrs=("10.0.0.0/24",), rules=())
    guarded = network(acls=("acl",))
    view = a_view(
        update(OWN, (0, 5), A_HOST, local_port()),
        update(REGION, (0, 5), A_REGION),
        update(NET, (0, 5), guarded, subnet()),
        update(NEIGHBOURS, (0, 5), neighbour()),
    )
    assert list(view.resolved.closed) == ["port-1"]

    view.apply([update(NET, (5, 6), acl)])
    assert list(view.resolved.ports) == ["port-1"]

    view.apply([update(NET, (6, 7), removed=(key_of(acl),))])
    assert list(view.resolved.closed) == ["port-1"]
