"""Who asks what of scopes held on demand, when, how much; and what is forgotten or confirmed."""

from collections import Counter

from alcor.agent.on_demand import (
    ABSENT_S,
    GATHER_S,
    OUTSTANDING_MAX,
    PORT_MAX,
    RETRY_S,
    SCOPE_MAX,
    TRIES_MAX,
    WINDOW,
    Asked,
    Asker,
    LookupTimes,
)
from alcor.agent.view import Changes
from alcor.bus.interface import AgentMessage, Confirm, Forget, Lookup
from alcor.goalstate.item import Claim, Item, Key, key_of
from alcor.goalstate.scope import Scope, members_scope, neighbours_scope
from alcor.goalstate.security_item import Member
from alcor.pipeline.feature import ItemChange
from tests.support.agent import neighbour

NET, OTHER, GROUP = neighbours_scope("net"), neighbours_scope("other"), members_scope("group")
IDLE_S, TTL_S = 80.0, 160.0


class Host:
    """An asker, its clock, and the scopes it asks about."""

    def __init__(self, *lazy: Scope) -> None:
        self.now_s = 1_000.0
        self.lazy = set(lazy)
        self.items: dict[Scope, dict[Key, Item]] = {}
        self.woken = 0
        self.asker = Asker(
            is_lazy=lambda scope: scope in self.lazy,
            held=lambda scope: self.items.get(scope, {}).keys(),
            digest=lambda scope, key: 7 if key in self.items.get(scope, {}) else None,
            monotonic_s=lambda: self.now_s,
            random=lambda: 0.0,
            woken=self._wake,
            times=LookupTimes(IDLE_S, TTL_S),
        )

    def _wake(self) -> None:
        self.woken += 1

    def after(self, seconds: float) -> list[AgentMessage]:
        """What is sent when so much time has passed."""
        self.now_s += seconds
        return self.asker.take()

    def sent(self) -> list[AgentMessage]:
        """What is sent at the end of the present gathering."""
        return self.after(GATHER_S)

    def answer(self, scope: Scope, *items: Item, absent: tuple[str, ...] = ()) -> None:
        """The view took in an answer."""
        self.items.setdefault(scope, {}).update({key_of(item): item for item in items})
        self.asker.noted(
            Changes(answers=[(scope, item) for item in items], absent=[(scope, text) for text in absent])
        )

    def remove(self, scope: Scope, item: Item) -> None:
        """The view took in a removal."""
        key = key_of(item)
        del self.items[scope][key]
        self.asker.noted(Changes(items=[ItemChange(scope, key, item, None)]))


def texts(messages: list[AgentMessage]) -> list[str]:
    """All subjects of look-ups, in order."""
    return [text for message in messages if isinstance(message, Lookup) for text in message.subjects]


def test_what_is_asked_within_a_moment_goes_together() -> None:
    """Questions of one scope are one message, each subject once."""
    host = Host(NET, OTHER)

    answers = [host.asker.ask(NET, "10.0.0.1"), host.asker.ask(NET, "10.0.0.2")]
    answers += [host.asker.ask(NET, "10.0.0.1"), host.asker.ask(OTHER, "10.0.0.1")]
    early = host.asker.take()

    assert answers == [Asked.ASKED] * 4
    assert early == []
    assert host.asker.next_s() == 1_000.0 + GATHER_S
    assert host.sent() == [Lookup(NET, ("10.0.0.1", "10.0.0.2")), Lookup(OTHER, ("10.0.0.1",))]
    assert host.woken == 1


def test_a_whole_scope_is_not_asked_about() -> None:
    """Whoever is not held of a whole scope does not exist."""
    host = Host()

    assert host.asker.ask(NET, "10.0.0.1") is Asked.WHOLE
    assert host.asker.next_s() is None


def test_an_answer_ends_the_question() -> None:
    """By address, MAC or name, whatever was asked; the next packet may ask anew."""
    host = Host(NET)
    peer = neighbour(5, dns_name="db")
    for text in (peer.mac, peer.ips[0], "db", "10.9.9.9"):
        host.asker.ask(NET, text)
    host.sent()

    host.answer(NET, peer)

    assert host.asker.outstanding == 1
    assert texts(host.after(RETRY_S)) == ["10.9.9.9"]


def test_prefixes_answer_for_their_addresses() -> None:
    """A member with a prefix is the answer for each address in it; a claim for its address."""
    host = Host(GROUP, NET)
    host.asker.ask(GROUP, "10.0.0.9")
    host.asker.ask(GROUP, "10.0.1.9")
    host.asker.ask(NET, "10.0.0.100")

    host.answer(GROUP, Member(id="port-1", cidrs=("10.0.0.0/24",)))
    host.answer(NET, Claim(id="10.0.0.100", mac="00:00:5e:00:01:01", port_id="p", host_id="h", vtep=""))

    assert texts(host.sent()) == ["10.0.1.9"]


def test_who_is_absent_is_not_asked_again_for_a_while() -> None:
    """Until the time is over, or somebody turns up."""
    host = Host(NET)
    peer = neighbour(5)
    for text in ("10.9.9.9", peer.ips[0]):
        host.asker.ask(NET, text)
    host.sent()
    host.answer(NET, absent=("10.9.9.9", peer.ips[0]))
    host.answer(NET, peer)

    assert host.asker.ask(NET, "10.9.9.9") is Asked.ABSENT
    assert not host.asker.is_absent(NET, peer.ips[0])
    host.now_s += ABSENT_S
    assert host.asker.ask(NET, "10.9.9.9") is Asked.ASKED


def test_a_lost_answer_is_asked_for_again_and_then_given_up() -> None:
    """Nothing waits for ever, and a later packet begins anew."""
    host = Host(NET)
    host.asker.ask(NET, "10.0.0.1")

    sent = [texts(host.sent())] + [texts(host.after(RETRY_S)) for _ in range(TRIES_MAX)]

    assert sent == [["10.0.0.1"]] * TRIES_MAX + [[]]
    assert host.asker.outstanding == 0
    assert host.asker.ask(NET, "10.0.0.1") is Asked.ASKED


def test_a_new_stream_is_asked_what_the_old_one_did_not_answer() -> None:
    """Without waiting for the retry, and in the order it was asked."""
    host = Host(NET)
    for number in range(3):
        host.asker.ask(NET, f"10.0.0.{number}")
    host.sent()

    host.asker.begun()

    assert texts(host.asker.take()) == ["10.0.0.0", "10.0.0.1", "10.0.0.2"]


def test_a_scan_fills_its_own_place_only() -> None:
    """A port that asks for everything is refused at its bound; who comes later goes out in the next round."""
    host = Host(NET)

    scanned = Counter(host.asker.ask(NET, f"10.1.{n >> 8}.{n & 255}", "scanner") for n in range(2_000))
    late = host.asker.ask(NET, "10.0.0.1", "victim")

    assert scanned == {Asked.ASKED: PORT_MAX, Asked.FULL: 2_000 - PORT_MAX}
    assert late is Asked.ASKED
    assert texts(host.sent())[:2] == ["10.1.0.0", "10.0.0.1"]
    assert host.asker.refused == 2_000 - PORT_MAX


def test_many_scanning_ports_give_way() -> None:
    """At the bound of a scope or of the host, the last question of who asks the most is dropped for who asks little."""
    host = Host(*(neighbours_scope(f"net-{n}") for n in range(5)))
    for network in range(4):
        for port in range(10):
            for n in range(PORT_MAX):
                host.asker.ask(neighbours_scope(f"net-{network}"), f"10.0.{port}.{n}", f"{network}/{port}")
    full = host.asker.outstanding

    of_the_network = host.asker.ask(neighbours_scope("net-0"), "10.0.99.1", "victim")
    of_another = host.asker.ask(neighbours_scope("net-4"), "10.0.99.1", "victim")

    assert full == OUTSTANDING_MAX == 2 * SCOPE_MAX
    assert (of_the_network, of_another) == (Asked.ASKED, Asked.ASKED)
    assert host.asker.outstanding == OUTSTANDING_MAX
    assert texts(host.sent()).count("10.0.99.1") == 2


def test_the_window_bounds_what_is_in_flight() -> None:
    """What is beyond it goes as soon as answers come."""
    host = Host(NET)
    for port in range(4):
        for n in range(PORT_MAX):
            host.asker.ask(NET, f"10.0.{port}.{n}", f"port-{port}")

    first = texts(host.sent())
    waiting = host.asker.take()
    host.answer(NET, absent=tuple(first[:10]))

    assert len(first) == WINDOW
    assert waiting == []
    assert len(texts(host.asker.take())) == 10


def test_networks_share_before_ports() -> None:
    """A network whose many ports ask does not hold up one whose single port asks."""
    host = Host(NET, OTHER)
    for port in range(4):
        for n in range(PORT_MAX):
            host.asker.ask(NET, f"10.0.{port}.{n}", f"port-{port}")
    for n in range(50):
        host.asker.ask(OTHER, f"10.0.9.{n}", "single")

    sent = host.sent()

    assert sorted(len(message.subjects) for message in sent if isinstance(message, Lookup)) == [
        50,
        WINDOW - 50,
    ]


def test_what_is_idle_is_to_be_forgotten() -> None:
    """What was not used is said so, again if the answer is lost; it is held until the ncm removes it."""
    host = Host(NET)
    idle, busy = neighbour(1), neighbour(2)
    host.answer(NET, idle, busy)
    host.asker.noted(Changes(turned={NET}))
    host.now_s += IDLE_S - 1
    host.asker.used(NET, [key_of(busy)])

    said = host.after(1)
    again = [host.after(IDLE_S / 8 - 1), host.after(1)]
    held = host.asker.held
    host.remove(NET, idle)

    assert said == [Forget(NET, (key_of(idle),))]
    assert again == [[], [Forget(NET, (key_of(idle),))]]
    assert (held, host.asker.held) == (2, 1)
    assert host.after(IDLE_S / 8) == []


def test_what_is_held_long_is_confirmed() -> None:
    """Every so often, with the digest of what is held; an answer in between counts."""
    host = Host(NET)
    one, other = neighbour(1), neighbour(2)
    host.answer(NET, one, other)
    host.asker.noted(Changes(turned={NET}))
    sent: list[AgentMessage] = []
    for _ in range(16):
        host.asker.used(NET, [key_of(one), key_of(other)])
        if host.now_s == 1_000.0 + TTL_S / 2:
            host.answer(NET, other)
        sent += host.after(TTL_S / 16)

    assert sent == [Confirm(NET, (key_of(one),), (7,))]


def test_a_scope_that_becomes_whole_has_no_questions() -> None:
    """What was asked, absent or idle of it means nothing any more."""
    host = Host(NET, OTHER)
    host.asker.ask(NET, "10.0.0.1")
    host.asker.ask(OTHER, "10.0.0.2")
    host.answer(NET, neighbour(7), absent=("10.0.0.3",))

    host.lazy.remove(NET)
    host.asker.noted(Changes(turned={NET}))

    assert host.sent() == [Lookup(OTHER, ("10.0.0.2",))]
    assert host.asker.held == 0
    assert not host.asker.is_absent(NET, "10.0.0.3")
