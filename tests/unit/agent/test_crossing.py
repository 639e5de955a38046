"""A new epoch is taken in at once: the scopes of two histories never meet in one view."""

import msgspec

from alcor.agent.view import HostView
from alcor.bus.interface import Dropped, Heads, ScopeUpdate
from alcor.goalstate.scope import REGION, host_scope, neighbours_scope, network_scope, rules_scope
from tests.support.agent import (
    A_HOST,
    A_REGION,
    EPOCH,
    HOST,
    local_port,
    neighbour,
    network,
    open_group,
    rules,
    subnet,
)
from tests.unit.agent.test_view import a_view, heads, held_ips, update

OWN, NET, NEIGHBOURS = host_scope(HOST), network_scope("net"), neighbours_scope("net")
GROUP = rules_scope("g")
GUARDED = local_port(1, groups=("g",))
CLOSED, OPEN = rules("g"), open_group("g")
NEW = EPOCH + 1


def later(message: ScopeUpdate) -> ScopeUpdate:
    """The same, said by the new epoch."""
    return msgspec.structs.replace(message, epoch=NEW)


def guarded() -> HostView:
    """A host at revision 5 with a port that is guarded by a group that lets nothing in."""
    return a_view(
        update(REGION, (0, 5), A_REGION),
        update(NET, (0, 5), network(), subnet()),
        update(NEIGHBOURS, (0, 5), neighbour(1)),
        update(GROUP, (0, 5), CLOSED),
        update(OWN, (0, 5), A_HOST, GUARDED, since=5),
    )


# In the restored history the group lets everything in, and the port is not guarded by it.
REST = (
    later(update(REGION, (0, 2), A_REGION)),
    later(update(NET, (0, 2), network(), subnet())),
    later(update(NEIGHBOURS, (0, 2), neighbour(1), neighbour(2))),
)
OWN_THEN = later(update(OWN, (0, 2), A_HOST, local_port(1), since=2))


def test_a_group_of_the_new_epoch_does_not_guard_a_port_of_the_old_one() -> None:
    """Until the host's own scope is there too, the port keeps the group as it was; it is not closed either."""
    view = guarded()
    assert list(view.resolved.ports) == ["port-1"]

    changes = view.apply([later(update(GROUP, (0, 2), OPEN)), *REST])

    assert changes.items == []
    assert view.resolved.rules == {"g": CLOSED}
    assert list(view.resolved.ports) == ["port-1"]
    assert set(view.positions().values()) == {5}


def test_all_of_the_new_epoch_is_taken_in_at_once() -> None:
    """With its last scope everything is as the new epoch says, and what came after it is applied as ever."""
    view = guarded()
    view.apply([later(update(GROUP, (0, 2), OPEN)), *REST, Dropped(GROUP)])

    view.apply([OWN_THEN])

    assert view.epoch == NEW
    assert view.resolved.ports["port-1"].groups == ()
    assert view.resolved.rules == {}
    assert set(view.positions()) == {REGION, NET, NEIGHBOURS, OWN}
    view.apply([later(update(NEIGHBOURS, (2, 3), neighbour(3)))])
    assert held_ips(view) == {ip for number in (1, 2, 3) for ip in neighbour(number).ips}


def test_what_the_old_epoch_still_says_is_applied() -> None:
    """The new one may never come to its end; until then the old one goes on."""
    view = guarded()
    view.apply([later(update(GROUP, (0, 2), OPEN))])

    view.apply([update(NEIGHBOURS, (5, 6), neighbour(2)), heads(7, NEIGHBOURS)])

    assert held_ips(view) == {*neighbour(1).ips, *neighbour(2).ips}
    assert view.positions()[NEIGHBOURS] == 7


def test_a_chunk_and_a_step_count_with_the_rest() -> None:
    """A snapshot is whole with its last chunk; steps that follow it are applied after it, heads last."""
    view = guarded()
    half = msgspec.structs.replace(REST[2], put=REST[2].put[:1], more=True)

    view.apply([*REST[:2], half, OWN_THEN])
    assert view.epoch == EPOCH
    view.apply([msgspec.structs.replace(REST[2], put=REST[2].put[1:])])

    assert view.epoch == NEW
    view.apply([Heads(epoch=NEW, generation=1, through=heads(4, NET).through)])
    assert view.positions()[NET] == 4
    assert held_ips(view) == {*neighbour(1).ips, *neighbour(2).ips}


def test_a_new_stream_begins_anew() -> None:
    """What was kept of a stream that ended is void: the next one says all of it."""
    view = guarded()
    view.apply([*REST])

    view.begin(NEW)
    view.apply([OWN_THEN])

    assert view.resolved.ports["port-1"] == GUARDED
    assert view.positions() == {}
    view.apply([*REST])
    assert view.resolved.ports["port-1"].groups == ()
