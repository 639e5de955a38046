"""What the host must ask for, because the scope it belongs to is held on demand; and what of it is still used.

    packets ── ask ──► queue of a port ─┐ round, network by network,      ┌──► Lookup, at most WINDOW in flight
                                        ├ port by port, every GATHER_S ───┤
    answers ── noted ──► entries, the absent ─── idle, or long not confirmed ──► Forget, Confirm

A table with a clock: it sends nothing and waits for nothing. A port that scans addresses fills its own queue only, and
what it asks goes out between what others ask. Nothing leaves the host's view here: the ncm's answer to `Forget` does
that, so that both ends agree on what is held.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple, TypeVar

from alcor.agent.view import Changes
from alcor.bus.interface import ABSENT_MAX, AgentMessage, Confirm, Forget, Lookup
from alcor.goalstate.item import Key, key_of
from alcor.goalstate.scope import Scope
from alcor.goalstate.subject import subjects

# Looked up and not answered, or waiting for that: of the host, of one scope, of one port.
OUTSTANDING_MAX = 1_000
SCOPE_MAX = 500
PORT_MAX = 100
# Sent and not answered. Less than what may wait, so that who comes later is not behind all that was asked before.
WINDOW = 256
# Questions of this long go together: less than a packet's way through the gateway node, which it takes meanwhile.
GATHER_S = 0.001
# An answer that does not come is asked for again after so long, so often, and then given up: the next packet asks anew.
RETRY_S = 0.5
TRIES_MAX = 4
# Nobody has it: not asked again for so long. Should somebody get it meanwhile, the ncm says so unasked; it remembers
# the last `ABSENT_MAX` of a scope, of which some may not have come here yet.
ABSENT_S = 10.0
ABSENT_PER_SCOPE_MAX = ABSENT_MAX - WINDOW
ABSENT_SCOPES_MAX = 16
_LOOK_S_MAX = 30.0
# How often it is looked who is idle, as a share of `idle_s`.
_LOOKS = 8
_KEYS_MAX = 256


_N = TypeVar("_N")


class Asked(StrEnum):
    """What became of a question."""

    ASKED = "asked"
    """It is on its way, or will be in a moment."""
    ABSENT = "absent"
    """Nobody has it, as the ncm said a moment ago."""
    FULL = "full"
    """Too much is asked already; the next packet may ask again."""
    WHOLE = "whole"
    """The scope is not held on demand: there is nobody to be found who is not held already."""


class Subject(NamedTuple):
    """What is asked."""

    scope: Scope
    text: str


@dataclass(slots=True, eq=False)
class _Question:
    """`sent`: how often it was. `due_s`: when it is asked again; None while it waits in its port's queue."""

    subject: Subject
    port_id: str
    sent: int = 0
    due_s: float | None = None


@dataclass(slots=True)
class _Entry:
    """One held item: when it was last used, known to be right, and said to be forgotten."""

    used_s: float
    right_s: float
    left_s: float


class LookupTimes(NamedTuple):
    """idle_s: what was not used for so long is forgotten. ttl_s: what is held is confirmed at least so often."""

    idle_s: float = 300.0
    ttl_s: float = 300.0

    @property
    def look_s(self) -> float:
        """Between two looks at what is used: well below `idle_s`, or what is used would be taken for idle."""
        return min(_LOOK_S_MAX, self.idle_s / 4)


class Asker:
    """The questions of one host.

    is_lazy: whether a scope is held on demand. held: what is held of it. digest: of a held item, None if it is not.
    woken:   called when `next_s` has become earlier.
    Cost:    `ask` O(1); O(ports that ask) when the host is at its bound. Memory: about 0.2 KB per held item.
    """

    def __init__(
        self,
        *,
        is_lazy: Callable[[Scope], bool],
        held: Callable[[Scope], Collection[Key]],
        digest: Callable[[Scope, Key], int | None],
        monotonic_s: Callable[[], float],
        random: Callable[[], float],
        woken: Callable[[], None] = lambda: None,
        times: LookupTimes = LookupTimes(),
    ) -> None:
        self._is_lazy, self._held, self._digest = is_lazy, held, digest
        self._now_s, self._random, self._woken = monotonic_s, random, woken
        self.idle_s, self.ttl_s = times
        self._questions: dict[Subject, _Question] = {}
        # Scope → port → its questions that wait; who is first is asked first, and then goes last.
        self._queues: OrderedDict[Scope, OrderedDict[str, deque[_Question]]] = OrderedDict()
        self._by_scope: Counter[Scope] = Counter()
        self._by_port: Counter[str] = Counter()
        self._flying: OrderedDict[Subject, _Question] = OrderedDict()
        # Scope → subject → until when; in both who was told of last is last.
        self._absent: OrderedDict[Scope, OrderedDict[str, float]] = OrderedDict()
        self._entries: dict[Scope, dict[Key, _Entry]] = {}
        self._gathered_s: float | None = None
        self._look_s: float | None = None
        self.refused, self._most = 0, 0

    # --- asking ----------------------------------------------------------------------------------------

    def ask(self, scope: Scope, text: str, port_id: str = "") -> Asked:
        """Have a subject looked up. `port_id`: on whose behalf; ports share fairly. At once returns.

        The answer is in the view when it comes, or in `Changes.absent`.
        """
        if not self._is_lazy(scope):
            return Asked.WHOLE
        subject = Subject(scope, text)
        if subject in self._questions:
            return Asked.ASKED
        if self.is_absent(scope, text):
            return Asked.ABSENT
        if not self._has_room(scope, port_id):
            self.refused += 1
            return Asked.FULL
        question = self._questions[subject] = _Question(subject, port_id)
        self._most = max(self._most, len(self._questions))
        self._count(question, 1)
        self._enqueue(question)
        if self._gathered_s is None:
            self._gathered_s = self._now_s() + GATHER_S
            self._woken()
        return Asked.ASKED

    @property
    def counts(self) -> dict[str, int]:
        """{refused: questions that found no place, asked_most: how many there were at once at most, absent: of how
        many subjects it is known that nobody has them}."""
        return {
            "refused": self.refused,
            "asked_most": self._most,
            "absent": sum(map(len, self._absent.values())),
        }

    def is_absent(self, scope: Scope, text: str) -> bool:
        """Whether the ncm said a moment ago that nobody has this."""
        absent = self._absent.get(scope)
        until_s = None if absent is None else absent.get(text)
        if until_s is None:
            return False
        if until_s <= self._now_s():
            self._appeared(scope, text)
            return False
        return True

    def _disappeared(self, scope: Scope, text: str) -> None:
        absent = self._absent.setdefault(scope, OrderedDict())
        absent[text] = self._now_s() + ABSENT_S
        absent.move_to_end(text)
        self._absent.move_to_end(scope)
        if len(absent) > ABSENT_PER_SCOPE_MAX:
            absent.popitem(last=False)
        if len(self._absent) > ABSENT_SCOPES_MAX:
            self._absent.popitem(last=False)

    def _appeared(self, scope: Scope, text: str) -> None:
        absent = self._absent.get(scope)
        if absent is not None:
            absent.pop(text, None)
            if not absent:
                del self._absent[scope]

    def used(self, scope: Scope, keys: Iterable[Key]) -> None:
        """Packets of these held items were seen since the last time: they are not idle."""
        entries, now = self._entries.get(scope, {}), self._now_s()
        for key in keys:
            if key in entries:
                entries[key].used_s = now

    def _has_room(self, scope: Scope, port_id: str) -> bool:
        """Whether one more may be asked; if not, who asks the most gives way to who asks little."""
        mine = self._by_port[port_id]
        if mine >= PORT_MAX:
            return False
        if self._by_scope[scope] >= SCOPE_MAX:
            return self._evict(self._queues.get(scope, OrderedDict()).values(), mine)
        if len(self._questions) >= OUTSTANDING_MAX:
            return self._evict([queue for ports in self._queues.values() for queue in ports.values()], mine)
        return True

    def _evict(self, queues: Iterable[deque[_Question]], mine: int) -> bool:
        """Take the last waiting question of the longest queue, if that asks more than `mine` already."""
        longest = max(queues, key=len, default=None)
        if longest is None or len(longest) <= mine + 1:
            return False
        self._end(longest[-1])
        self.refused += 1
        return True

    def _enqueue(self, question: _Question) -> None:
        ports = self._queues.setdefault(question.subject.scope, OrderedDict())
        ports.setdefault(question.port_id, deque()).append(question)
        question.due_s = None

    def _count(self, question: _Question, step: int) -> None:
        _add(self._by_scope, question.subject.scope, step)
        _add(self._by_port, question.port_id, step)

    def _end(self, question: _Question) -> None:
        """It is answered, given up, or pushed out."""
        subject = question.subject
        del self._questions[subject]
        self._count(question, -1)
        if self._flying.pop(subject, None) is not None:
            if self._queues and self._gathered_s is None:
                self._gathered_s = self._now_s()  # there is room in the window again
                self._woken()
            return
        ports = self._queues[subject.scope]
        queue = ports[question.port_id]
        # The answer to another host's change may come before the question went; queues are short.
        queue.remove(question)
        if not queue:
            del ports[question.port_id]
        if not ports:
            del self._queues[subject.scope]

    # --- what came -------------------------------------------------------------------------------------

    def begun(self) -> None:
        """A new stream: what was in flight is lost, and asked again; who was absent may have come unseen."""
        self._absent.clear()
        for question in reversed(self._flying.values()):
            ports = self._queues.setdefault(question.subject.scope, OrderedDict())
            ports.setdefault(question.port_id, deque()).appendleft(question)
            question.due_s = None
        self._flying.clear()
        for entries in self._entries.values():
            for entry in entries.values():
                entry.left_s = float("-inf")
        if self._queues:
            self._gathered_s = self._now_s()
        self._woken()  # also for what was due while there was no stream

    def noted(self, changes: Changes) -> None:
        """What the view took in: answers, news, and scopes that are held in another way."""
        for scope in changes.turned:
            self._turned(scope)
        for scope, item in changes.answers:
            self._arrived(scope, key_of(item), subjects(item))
        for change in changes.items if self._entries else ():
            if change.after is None and change.scope in self._entries:
                self._entries[change.scope].pop(change.key, None)
        for scope, text in changes.absent:
            self._settle(Subject(scope, text))
            self._disappeared(scope, text)

    def _turned(self, scope: Scope) -> None:
        if self._is_lazy(scope):
            self._entries[scope] = {key: self._entry() for key in self._held(scope)}
        else:
            self._entries.pop(scope, None)
            for subject in [subject for subject in self._questions if subject.scope == scope]:
                self._end(self._questions[subject])
            self._absent.pop(scope, None)
        if self._look_s is None and self._entries:
            self._look_s = self._now_s() + self._pause_s
            self._woken()

    def _entry(self) -> _Entry:
        now = self._now_s()
        # What many hosts came to hold at once is not confirmed by all of them at once.
        return _Entry(now, now - self._random() * self.ttl_s / 4, float("-inf"))

    def _arrived(self, scope: Scope, key: Key, texts: tuple[str, ...]) -> None:
        entries = self._entries.setdefault(scope, {})
        entry = entries.get(key)
        if entry is None:
            entries[key] = self._entry()
        else:
            entry.right_s = self._now_s()
        for text in texts:
            self._appeared(scope, text)
            answered = self._settle(Subject(scope, text))
            if entry is not None and answered:
                entry.used_s = self._now_s()  # somebody wanted it
            if "/" in text:
                self._settle_inside(scope, text)

    def _settle(self, subject: Subject) -> bool:
        question = self._questions.get(subject)
        if question is not None:
            self._end(question)
        return question is not None

    def _settle_inside(self, scope: Scope, cidr: str) -> None:
        """A prefix answers for all its addresses. Cost: O(questions); there are few such members."""
        prefix = ip_network(cidr, strict=False)
        for subject in list(self._questions):
            if subject.scope == scope and _is_in(subject.text, prefix):
                self._end(self._questions[subject])

    # --- what is due -----------------------------------------------------------------------------------

    @property
    def _pause_s(self) -> float:
        return min(self.idle_s, self.ttl_s) / _LOOKS

    def next_s(self) -> float | None:
        """When `take` has something to send; None: not before it is woken."""
        dues = [self._gathered_s, self._look_s]
        dues += [question.due_s for question in list(self._flying.values())[:1]]
        return min((due for due in dues if due is not None), default=None)

    def take(self) -> list[AgentMessage]:
        """What is to be sent now; it counts as sent. Call it only while a stream is open."""
        now = self._now_s()
        messages: list[AgentMessage] = []
        if self._look_s is not None and self._look_s <= now:
            messages += self._looked(now)
        asked: dict[Scope, list[str]] = {}
        self._ask_again(now, asked)
        if self._gathered_s is not None and self._gathered_s <= now:
            self._fly(now, asked)
        messages += [Lookup(scope, tuple(texts)) for scope, texts in asked.items()]
        return messages

    def _ask_again(self, now: float, asked: dict[Scope, list[str]]) -> None:
        while self._flying:
            question = next(iter(self._flying.values()))
            if question.due_s is None or question.due_s > now:
                return
            if question.sent >= TRIES_MAX:
                self._end(question)
            else:
                self._send(question, now, asked)

    def _fly(self, now: float, asked: dict[Scope, list[str]]) -> None:
        """One question of each scope in turn, and in it of each port in turn, until the window is full."""
        while self._queues and len(self._flying) < WINDOW:
            scope, ports = next(iter(self._queues.items()))
            port_id, queue = next(iter(ports.items()))
            question = queue.popleft()
            ports.move_to_end(port_id)
            self._queues.move_to_end(scope)
            if not queue:
                del ports[port_id]
            if not ports:
                del self._queues[scope]
            self._send(question, now, asked)
        # If the window is full: the next answer opens it.
        self._gathered_s = None

    def _send(self, question: _Question, now: float, asked: dict[Scope, list[str]]) -> None:
        question.due_s = now + RETRY_S
        question.sent += 1
        subject = question.subject
        self._flying[subject] = question
        self._flying.move_to_end(subject)
        asked.setdefault(subject.scope, []).append(subject.text)

    def _looked(self, now: float) -> list[AgentMessage]:
        """Who is idle is to be forgotten; who was long not confirmed is asked about. Cost: O(what is held)."""
        messages: list[AgentMessage] = []
        for scope, entries in self._entries.items():
            idle = [
                key
                for key, entry in entries.items()
                if now - entry.used_s >= self.idle_s and now - entry.left_s >= self._pause_s
            ]
            for key in idle:
                entries[key].left_s = now
            doubted = [
                key
                for key, entry in entries.items()
                if now - entry.used_s < self.idle_s and now - entry.right_s >= self.ttl_s
            ]
            messages += [
                Forget(scope, tuple(idle[begin : begin + _KEYS_MAX]))
                for begin in range(0, len(idle), _KEYS_MAX)
            ]
            messages += self._confirm(scope, entries, doubted, now)
        self._look_s = now + self._pause_s if self._entries else None
        return messages

    def _confirm(
        self, scope: Scope, entries: dict[Key, _Entry], doubted: list[Key], now: float
    ) -> Iterable[AgentMessage]:
        known: list[tuple[Key, int]] = []
        for key in doubted:
            digest = self._digest(scope, key)
            entries[key].right_s = now
            if digest is not None:
                known.append((key, digest))
        for begin in range(0, len(known), _KEYS_MAX):
            part = known[begin : begin + _KEYS_MAX]
            yield Confirm(scope, tuple([key for key, _ in part]), tuple([digest for _, digest in part]))

    # --- telling ---------------------------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """How much is asked and not answered."""
        return len(self._questions)

    @property
    def held(self) -> int:
        """How much is held on demand."""
        return sum(len(entries) for entries in self._entries.values())


def _add(counts: Counter[_N], name: _N, step: int) -> None:
    counts[name] += step
    if not counts[name]:
        del counts[name]


def _is_in(text: str, prefix: IPv4Network | IPv6Network) -> bool:
    try:
        return ip_address(text) in prefix
    except ValueError:
        return False  # a MAC or a name
