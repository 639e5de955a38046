"""Losses of gateway hosts: which are told to the region, and when."""

from alcor.agent.loss import STABLE_S, Losses
from alcor.bus.interface import LossReport
from alcor.goalstate.router_item import GatewayHost

A, B = GatewayHost("a", "192.0.2.1"), GatewayHost("b", "192.0.2.2")


class Watch:
    """A host that watches two others, at a time of its own."""

    def __init__(self) -> None:
        self.s = 100.0
        self.losses = Losses(lambda: self.s, lambda: 1_000 * self.s)
        self.losses.watch((A.vtep, B.vtep))

    def tell(self, *succeeded: GatewayHost, after_s: float = 0.0) -> list[LossReport]:
        self.s += after_s
        return list(self.losses.due(lambda: succeeded))

    def see(self, *hosts: GatewayHost, is_up: bool) -> None:
        for host in hosts:
            self.losses.health(host.vtep, is_up=is_up)


def test_a_loss_is_told_once_when_it_has_lasted() -> None:
    """With the time at which it began; told again only to a region that is reached anew."""
    watch = Watch()
    watch.see(A, B, is_up=True)
    watch.see(A, is_up=False)
    due_s = watch.losses.next_s
    told = [watch.tell(A), watch.tell(A, after_s=STABLE_S), watch.tell(A, after_s=1.0)]

    assert due_s == 100.0 + STABLE_S
    assert told == [[], [LossReport("a", 100_000)], []]
    assert watch.losses.next_s is None
    assert watch.losses.told() == (LossReport("a", 100_000),)


def test_a_flutter_is_no_loss() -> None:
    """A host that is back in a moment was not lost; a second loss is another one."""
    watch = Watch()
    watch.see(A, is_up=True)
    watch.see(A, is_up=False)
    watch.s += STABLE_S / 2
    watch.see(A, is_up=True)
    flutter = watch.tell(A, after_s=STABLE_S)
    told = []
    for _ in range(2):
        watch.see(A, is_up=False)
        told += watch.tell(A, after_s=STABLE_S)
        watch.see(A, is_up=True)

    assert flutter == []
    assert [one.host_id for one in told] == ["a", "a"]
    assert told[0].at_ms < told[1].at_ms


def test_who_was_never_seen_is_not_lost() -> None:
    """Not when it is watched anew, nor when the switch was away: a watch begins with silence."""
    watch = Watch()
    watch.see(A, is_up=False)
    anew = watch.tell(A, after_s=STABLE_S)
    watch.see(A, is_up=True)
    watch.losses.forget()
    watch.see(A, is_up=False)
    away = watch.tell(A, after_s=STABLE_S)
    watch.see(A, is_up=True)
    watch.losses.watch(())
    watch.losses.watch((A.vtep,))
    watch.see(A, is_up=False)
    again = watch.tell(A, after_s=STABLE_S)

    assert (anew, away, again) == ([], [], [])


def test_only_in_whose_place_this_host_serves_is_told() -> None:
    """Whoever else is lost has nothing to take back; that may change with the routers."""
    watch = Watch()
    watch.see(A, B, is_up=True)
    watch.see(A, B, is_up=False)
    told = watch.tell(B, after_s=STABLE_S)
    silent = watch.tell(A, B, after_s=STABLE_S)
    watch.losses.routers_changed()
    later = watch.tell(A, B)

    assert told == [LossReport("b", 100_000)]
    assert silent == []
    assert later == [LossReport("a", 100_000)]


def test_paths_are_of_what_was_seen() -> None:
    """A watched host that never answered is not said to be lost; one that did is, until it answers again."""
    watch = Watch()
    changed = [watch.losses.health(A.vtep, is_up=False)]
    never = watch.losses.paths()
    changed += [watch.losses.health(A.vtep, is_up=is_up) for is_up in (True, True, False, False, True)]
    watch.see(B, is_up=True)
    watch.see(B, is_up=False)

    assert never == {}
    assert changed == [False, True, False, True, False, True]
    assert watch.losses.paths() == {A.vtep: True, B.vtep: False}
    watch.losses.watch((A.vtep,))
    assert watch.losses.paths() == {A.vtep: True}
