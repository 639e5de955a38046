"""Who holds what of a scope held on demand, and what it costs to know."""

import sys
from array import array

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.agent.on_demand import GATHER_S, PORT_MAX, WINDOW, Asked, Asker
from alcor.agent.view import Changes
from alcor.bus.interface import ABSENT_MAX, Envelope, Lookup
from alcor.bus.subject import code_of
from alcor.goalstate.item import Claim, Item, Key, Neighbour, key_of
from alcor.goalstate.scope import neighbours_scope
from alcor.goalstate.security_item import Member
from alcor.goalstate.subject import subjects
from alcor.ncm.interest import Holder, Interest
from tests.support import bus as support
from tests.support.bus import a_neighbour
from tests.support.ncm import CODEC


class Scope:
    """A scope and the interest in it; each change is told as the cache would."""

    def __init__(self, *items: Item) -> None:
        self.entries: dict[Key, tuple[int, Envelope]] = {}
        self.revision = 0
        self.woken: list[str] = []
        for item in items:
            self.entries[key_of(item)] = (0, envelope(item))
        self.interest = Interest(self.entries, CODEC.codes)
        self.interest.fill([envelope for _, envelope in self.entries.values()])

    def holder(self, name: str = "h", *items: Item) -> Holder:
        """A holder of these."""
        return self.interest.join(lambda: self.woken.append(name), [key_of(item) for item in items])

    def put(self, item: Item) -> None:
        """Add or change an item."""
        self.revision += 1
        before = self.entries.pop(key_of(item), None)
        after = envelope(item)
        self.entries[after.key] = (self.revision, after)
        self.interest.changed(after.key, None if before is None else before[1], after)

    def remove(self, item: Item) -> None:
        """Remove an item."""
        _, before = self.entries.pop(key_of(item))
        self.interest.changed(before.key, before, None)

    def held(self, holder: Holder) -> set[str]:
        """The ids of what it holds."""
        return {key.id for key in self.interest.keys_of(holder)}


def envelope(item: Item) -> Envelope:
    """An item as it is held."""
    return Envelope(key_of(item), 0, (), CODEC.encode(item))


def told(holder: Holder) -> set[str]:
    """The ids of what is news to a holder, which is told of them."""
    news, holder.news = {key.id for key in holder.news}, {}
    return news


def peer(number: int, **changes: object) -> Neighbour:
    """Neighbour `p<number>` with address 10.0.0.<number>."""
    return a_neighbour(
        f"p{number}", **({"mac": f"fa:16:3e:00:00:{number:02x}", "ips": (f"10.0.0.{number}",)} | changes)
    )


ONE, TWO = peer(1, dns_name="db"), peer(2, ips=("10.0.0.2", "2001:db8::2"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.0.0.1", {"p1"}),
        (ONE.mac, {"p1"}),
        ("db", {"p1"}),
        ("2001:db8::2", {"p2"}),
        ("2001:DB8:0::2", {"p2"}),
        ("10.0.0.3", set()),
        ("fa:16:3e:00:00:0", set()),
        ("10.0.0", set()),
        ("", set()),
    ],
)
def test_who_has_a_subject(text: str, found: set[str]) -> None:
    """By any address, the MAC or the short name; what is none of these is nobody's."""
    scope = Scope(ONE, TWO)
    holder = scope.holder()

    assert scope.interest.look_up(holder, [text]) == len(found)
    assert scope.held(holder) == told(holder) == found
    assert list(holder.unsaid.values()) == ([] if found else [text])


def test_a_change_is_news_to_its_holders_only() -> None:
    """Once each, however often it changes; nobody else is woken."""
    scope = Scope(ONE, TWO)
    of_one, of_two = scope.holder("one", ONE), scope.holder("two", TWO)

    scope.put(peer(1, vtep="192.0.2.9"))
    scope.put(peer(1, vtep="192.0.2.8"))
    scope.interest.wake()

    assert scope.woken == ["one"]
    assert (told(of_one), told(of_two)) == ({"p1"}, set())


def test_what_is_gone_is_held_by_nobody() -> None:
    """Its removal is news; when it comes back it is another one."""
    scope = Scope(ONE)
    holder = scope.holder("h", ONE)

    scope.remove(ONE)
    gone = told(holder)
    scope.put(ONE)

    assert gone == {"p1"}
    assert scope.held(holder) == told(holder) == set()
    assert scope.interest.held == 0


def test_who_waits_is_told_when_somebody_appears() -> None:
    """What was absent is put unasked, and not said to be absent after that."""
    scope = Scope()
    holder = scope.holder("h")
    scope.interest.look_up(holder, ["10.0.0.1", "10.0.0.7"])

    scope.put(ONE)
    scope.put(peer(7, ips=("10.0.0.8",)))
    scope.put(peer(7))
    scope.interest.wake()

    assert scope.held(holder) == told(holder) == {"p1", "p7"}
    assert holder.unsaid == {}
    assert scope.woken == ["h"]


def test_who_waits_is_told_also_of_what_came_and_went_unseen() -> None:
    """What appeared and is gone before that was told is absent as before: when it comes again, it is told."""
    scope = Scope()
    holder = scope.holder()
    item = a_neighbour("p1")
    text = subjects(item)[0]
    scope.interest.look_up(holder, [text])
    holder.unsaid = {}

    scope.put(item)
    scope.remove(item)

    assert list(holder.unsaid.values()) == [text]
    assert told(holder) == {item.id}
    holder.told()
    scope.put(item)
    assert told(holder) == {item.id}
    assert scope.held(holder) == {item.id}


def test_what_another_item_has_is_not_absent() -> None:
    """Of two that came, the first one goes unseen: the subject is still found; with the second one it is absent."""
    scope = Scope()
    holder = scope.holder()
    one, other = a_neighbour("p1"), msgspec.structs.replace(a_neighbour("p1"), id="another")
    text = subjects(one)[0]
    scope.interest.look_up(holder, [text])
    holder.unsaid = {}
    scope.put(one)
    scope.put(other)

    scope.remove(one)
    assert holder.unsaid == {}
    scope.remove(other)

    assert list(holder.unsaid.values()) == [text]


def test_a_claim_reaches_who_knows_the_address() -> None:
    """Another item of a subject of which one is held, also one that appears later."""
    scope = Scope(ONE)
    of_one, other = scope.holder("one", ONE), scope.holder("other")

    scope.put(Claim(id="10.0.0.1", mac="00:00:5e:00:01:01", port_id="p", host_id="h", vtep=""))
    told(of_one)
    scope.interest.look_up(other, ["10.0.0.1"])

    assert scope.held(of_one) == scope.held(other) == {"p1", "10.0.0.1"}


def test_members_are_found_by_prefix() -> None:
    """An address is found in each prefix that has it; who waits for it is told of a prefix that comes."""
    wide, exact = (
        Member(id="m1", cidrs=("10.1.0.0/16",)),
        Member(id="m2", cidrs=("10.1.2.3/32", "10.0.0.9/32")),
    )
    scope = Scope(wide, exact)
    holder, waiting = scope.holder(), scope.holder("waiting")

    scope.interest.look_up(holder, ["10.1.2.3", "10.2.0.1"])
    scope.interest.look_up(waiting, ["10.2.0.1", "2001:db8::1", "fa:16:3e:00:00:01"])
    scope.put(Member(id="m3", cidrs=("10.2.0.0/24",)))
    scope.remove(wide)
    scope.interest.look_up(waiting, ["10.1.9.9"])

    assert scope.held(holder) == {"m2", "m3"}
    assert scope.held(waiting) == {"m3"}
    assert sorted(waiting.unsaid.values()) == ["10.1.9.9", "2001:db8::1", "fa:16:3e:00:00:01"]


def test_what_is_forgotten_is_said_to_be() -> None:
    """Also what was not held; a later change is no news."""
    scope = Scope(ONE, TWO)
    holder = scope.holder("h", ONE)

    scope.interest.forget(holder, [key_of(ONE), key_of(TWO)])
    scope.put(peer(1))

    assert told(holder) == {"p1", "p2"}
    assert scope.held(holder) == set()


def test_who_leaves_leaves_nothing() -> None:
    """Its place and its keys' numbers are used again."""
    scope = Scope(ONE, TWO)
    first, second = scope.holder("first", ONE, TWO), scope.holder("second", TWO)
    scope.interest.look_up(first, ["10.0.0.9"])

    scope.interest.leave(first)
    third = scope.holder("third", ONE)
    scope.put(peer(9))
    scope.put(peer(1))

    assert (third.number, second.number) == (first.number, 1)
    assert told(third) == {"p1"}
    assert first.news == {}
    assert scope.interest.held == 2


def test_the_absent_are_bounded() -> None:
    """The oldest question without an answer is forgotten."""
    scope = Scope()
    holder = scope.holder()

    scope.interest.look_up(holder, [f"10.{n >> 8}.{n & 255}.1" for n in range(ABSENT_MAX + 1)])
    scope.put(peer(1, ips=("10.0.0.1",)))
    scope.put(peer(2, ips=("10.0.1.1",)))

    assert scope.held(holder) == {"p2"}


def test_who_is_nobody_to_an_agent_is_remembered() -> None:
    """However much the ports of a host ask in vain: what its agent does not ask again it is told of."""
    scope, now_s = Scope(), 1_000.0
    holder, subnet = scope.holder(), neighbours_scope("net-1")
    asker = Asker(
        is_lazy=lambda _: True,
        held=lambda _: (),
        digest=lambda *_: None,
        monotonic_s=lambda: now_s,
        random=lambda: 0.0,
    )
    texts = [f"10.{n >> 8}.{n & 255}.1" for n in range(3 * ABSENT_MAX)]
    late: list[list[str]] = []
    for begin in range(0, len(texts), PORT_MAX):
        for text in texts[begin : begin + PORT_MAX]:
            assert asker.ask(subnet, text, f"port-{begin}") is Asked.ASKED
        now_s += GATHER_S
        asked = [text for message in asker.take() if isinstance(message, Lookup) for text in message.subjects]
        scope.interest.look_up(holder, asked)
        late.append(asked)
        if len(late) == WINDOW // PORT_MAX:
            asker.noted(Changes(absent=[(subnet, text) for text in late.pop(0)]))

    believed = [text for text in texts if asker.is_absent(subnet, text)]
    assert len(believed) > ABSENT_MAX // 2
    assert {*believed} <= {*holder.waited_for}


@given(st.one_of(support.items["neighbour"], support.items["member"], support.items["claim"]))
def test_codes_are_those_of_the_subjects(item: Item) -> None:
    """Read from the bytes, they say what the item says."""
    assert set(CODEC.codes(key_of(item), CODEC.encode(item))) == set(map(code_of, subjects(item)))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("put", "remove", "look", "forget", "leave")),
            st.integers(0, 5),
            st.integers(0, 5),
            st.integers(0, 2),
        ),
        max_size=40,
    )
)
def test_holders_know_what_they_hold(steps: list[tuple[str, int, int, int]]) -> None:
    """Whatever happens, what a holder was told of is what it holds, and as the scope has it."""
    scope = Scope()
    holders: dict[int, Holder] = {number: scope.holder() for number in range(3)}
    known: dict[int, dict[Key, bytes]] = {number: {} for number in range(3)}
    for step, number, address, host in steps:
        holder, item = holders[host], peer(number, ips=(f"10.9.0.{address}",), mac="fa:16:3e:00:00:01")
        match step:
            case "put":
                scope.put(item)
            case "remove" if key_of(item) in scope.entries:
                scope.remove(item)
            case "look":
                scope.interest.look_up(holder, [f"10.9.0.{address}"])
            case "forget":
                scope.interest.forget(holder, [key_of(item)])
            case "leave":
                scope.interest.leave(holder)
                holders[host] = scope.holder()
                known[host].clear()
    for host, holder in holders.items():
        for key in holder.news:
            if scope.interest.holds(holder, key):
                known[host][key] = scope.entries[key][1].body
            else:
                known[host].pop(key, None)

        assert known[host] == {key: scope.entries[key][1].body for key in scope.interest.keys_of(holder)}
    assert scope.interest.held == sum(map(len, known.values()))


def test_held_keys_are_packed() -> None:
    """10,000 hosts that hold 100 of 2,000 items each take 8 octets and a share of growth for each pair.

    Counted, not measured by the process: what the arrays of both directions hold. Sets of keys would take 60 MB.
    """
    scope = Scope(*(a_neighbour(f"p{n}", ips=(f"10.0.{n >> 8}.{n & 255}",)) for n in range(2_000)))
    keys = list(scope.entries)
    holders = [
        scope.interest.join(lambda: None, (keys[(host * 7 + n * 20) % 2_000] for n in range(100)))
        for host in range(10_000)
    ]

    arrays: list[array[int]] = [holder.keys for holder in holders] + scope.interest._holders_of

    assert scope.interest.held == 1_000_000
    assert sum(len(each) * each.itemsize for each in arrays) == 8 * 1_000_000
    assert sum(map(sys.getsizeof, arrays)) < 10.5 * 1_000_000
