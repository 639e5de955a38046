"""Who holds what of a scope that is held on demand, and who was told that nobody has what he asked for.

    subject ─ index ─► key ─ numbers ─► number ─ holders of each ─► holder: its numbers, what it is to be told
       └────────────── waiting ───────────────────────────────────► holder

Held keys are interned numbers in packed, sorted arrays, once per holder and once per key: 8 octets for each pair. So a
change costs O(holders of the item), and a look-up nothing that grows with the scope.

Promises
- What a holder holds is exactly what it was put, through the position it is told: every later change of it is in
  `news`, one entry per key however often it changes (I8: no queue).
- Who holds one item of a subject gets every later one of that subject; who was told that there is none, too.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from alcor.bus.interface import ABSENT_MAX, Envelope
from alcor.bus.subject import Code, code_of
from alcor.goalstate.item import Key

Codes = Callable[[Key, bytes], Sequence[Code]]
"""Reads the codes of an item's subjects from its bytes (`ItemCodec.codes`)."""


class Holder:
    """What one subscriber holds of one scope.

    news: keys that changed, came, or are not held any more, since it was told. unsaid: subjects to be told absent.
    came: keys that answered a subject which was absent, since it was told: the subject's code and text.
    """

    __slots__ = ("absent", "came", "interest", "keys", "news", "number", "unsaid", "wake")

    def __init__(self, interest: "Interest", number: int, wake: Callable[[], None]) -> None:
        self.interest, self.number, self.wake = interest, number, wake
        self.keys = array("I")
        self.news: dict[Key, None] = {}
        self.absent: dict[Code, str] = {}
        self.unsaid: dict[Code, str] = {}
        self.came: dict[Key, tuple[Code, str]] = {}

    @property
    def waited_for(self) -> list[str]:
        """Subjects that it believes, or may believe, to be nobody's."""
        return [*self.absent.values(), *(text for _, text in self.came.values())]

    def told(self) -> None:
        """It was told all its news."""
        self.news.clear()
        self.came.clear()


class Interest:
    """The interest in one scope. `entries`: the scope's, always as they are after the change that is told here. Those
    that are there at the beginning are to be given to `fill`, before anything else is asked.

    Cost: a look-up O(1), and O(lengths of prefixes) for members; a change O(its holders · log held).
    Memory: the index, about 64 octets per subject and its place in a table (100); per key that anybody holds 200;
    per pair of key and holder 8. Measured by `benchmarks/lookups.py`.
    """

    def __init__(self, entries: Mapping[Key, tuple[int, Envelope]], codes: Codes) -> None:
        self._entries, self._codes = entries, codes
        self._index: dict[Code, Key | list[Key]] = {}
        # How many prefixes of each length there are, by IP version: those of single addresses are not counted.
        self._lengths: Counter[tuple[int, int]] = Counter()
        self._numbers: dict[Key, int] = {}
        self._keys: list[Key | None] = []
        self._holders_of: list[array[int]] = []
        self._free: list[int] = []
        self._holders: list[Holder | None] = []
        self._places: list[int] = []
        self._waiting: dict[Code, array[int]] = {}
        self._stirred: dict[Holder, None] = {}

    def fill(self, envelopes: Iterable[Envelope]) -> None:
        """Find these by their subjects. Cost: 2 µs each."""
        index, codes = self._index, self._codes
        for envelope in envelopes:
            key = envelope.key
            for code in codes(key, envelope.body):
                if code in index or isinstance(code, str):
                    self._add(code, key)
                else:
                    index[code] = key

    # --- holders ---------------------------------------------------------------------------------------

    def join(self, wake: Callable[[], None], keys: Iterable[Key] = ()) -> Holder:
        """A new holder of those of `keys` that there are. `wake`: it has news."""
        if not self._places:
            self._places.append(len(self._holders))
            self._holders.append(None)
        number = self._places.pop()
        holder = self._holders[number] = Holder(self, number, wake)
        numbers = sorted({self._number(key) for key in keys if key in self._entries})
        holder.keys = array("I", numbers)
        for each in numbers:
            _insert(self._holders_of[each], number)
        return holder

    def leave(self, holder: Holder) -> None:
        """It holds nothing any more. Cost: O(what it held)."""
        for number in holder.keys:
            self._left(number, holder.number)
        for code in holder.absent:
            self._wait_no_longer(code, holder.number)
        self._holders[holder.number] = None
        self._places.append(holder.number)
        self._stirred.pop(holder, None)

    def keys_of(self, holder: Holder) -> list[Key]:
        """What it holds."""
        return [key for number in holder.keys if (key := self._keys[number]) is not None]

    def holds(self, holder: Holder, key: Key) -> bool:
        """Whether it holds this."""
        number = self._numbers.get(key)
        if number is None:
            return False
        place = bisect_left(holder.keys, number)
        return place < len(holder.keys) and holder.keys[place] == number

    def hold(self, holder: Holder, key: Key) -> None:
        """Have it hold an item that there is, and told of it."""
        number = self._number(key)
        if _insert(holder.keys, number):
            _insert(self._holders_of[number], holder.number)
        holder.news[key] = None

    def forget(self, holder: Holder, keys: Iterable[Key]) -> None:
        """Have it hold these no longer, and told so, also if it did not."""
        for key in keys:
            if self.holds(holder, key):
                number = self._numbers[key]
                _remove(holder.keys, number)
                self._left(number, holder.number)
            holder.news[key] = None
            holder.came.pop(key, None)

    def look_up(self, holder: Holder, texts: Iterable[str]) -> int:
        """Have it hold whatever has these subjects, and told; returns how many were found. Registered before they are
        read: a change in between is told as well.
        """
        found = 0
        for text in texts:
            code = code_of(text)
            keys = self._find(code, text)
            for key in keys:
                self.hold(holder, key)
            if keys:
                found += 1
            else:
                self._wait(holder, code, text)
        return found

    # --- changes ---------------------------------------------------------------------------------------

    def changed(self, key: Key, before: Envelope | None, after: Envelope | None) -> None:
        """An item is now as `after` says (None: it is gone). Wakes nobody yet: `stirred`."""
        if before is None or after is None or before.body != after.body:
            old = self._codes(key, before.body) if before is not None else []
            new = self._codes(key, after.body) if after is not None else []
            for code in old:
                if code not in new:
                    self._discard(code, key)
            for code in new:
                if code not in old:
                    self._appeared(code, key)
                    self._add(code, key)
        number = self._numbers.get(key)
        if number is None:
            return
        for host in self._holders_of[number]:
            holder = self._holders[host]
            assert holder is not None  # who left holds nothing
            is_untold = key in holder.news
            holder.news[key] = None
            self._stirred[holder] = None
            if after is None:
                _remove(holder.keys, number)
                came = holder.came.pop(key, None)
                if came is not None and is_untold:
                    self._went(holder, *came)
        if after is None:
            self._release(number)

    def _went(self, holder: Holder, code: Code, text: str) -> None:
        """What was absent came and went unseen: to the holder it was absent all the time, and still is, unless another
        item has it."""
        others = self._find(code, text)
        if others:
            holder.came[others[0]] = code, text
        else:
            self._wait(holder, code, text)

    def _appeared(self, code: Code, key: Key) -> None:
        """Who knows of another item of this subject, or that there was none, is to have this one."""
        hosts: set[int] = set()
        for other in self._at(code):
            number = self._numbers.get(other)
            hosts.update(() if number is None else self._holders_of[number])
        for waiting in self._waited_for(code):
            hosts.update(self._waiting[waiting])
            self._heard(waiting, key)
        for host in hosts:
            holder = self._holders[host]
            assert holder is not None  # as above
            self.hold(holder, key)

    def wake(self) -> None:
        """Wake whoever has news, once each."""
        stirred, self._stirred = self._stirred, {}
        for holder in stirred:
            holder.wake()

    # --- the index -------------------------------------------------------------------------------------

    def _at(self, code: Code) -> Sequence[Key]:
        found = self._index.get(code)
        if found is None:
            return ()
        return [found] if isinstance(found, Key) else found

    def _find(self, code: Code, text: str) -> Sequence[Key]:
        keys = self._at(code)
        if not self._lengths or isinstance(code, str):
            return keys
        version = 6 if ":" in text else 4
        wide = [
            key
            for of, length in self._lengths
            if of == version
            for key in self._at(str(ip_network(f"{text}/{length}", strict=False)))
        ]
        return list(dict.fromkeys((*keys, *wide)))

    def _add(self, code: Code, key: Key) -> None:
        found = self._index.get(code)
        if found is None:
            self._index[code] = key
        elif isinstance(found, Key):
            self._index[code] = [found, key]
        else:
            found.append(key)
        if isinstance(code, str) and "/" in code:
            self._lengths[_length(code)] += 1

    def _discard(self, code: Code, key: Key) -> None:
        rest = [other for other in self._at(code) if other != key]
        if not rest:
            self._index.pop(code, None)
        else:
            self._index[code] = rest[0] if len(rest) == 1 else rest
        if isinstance(code, str) and "/" in code:
            self._lengths[_length(code)] -= 1
            if not self._lengths[_length(code)]:
                del self._lengths[_length(code)]

    # --- who waits -------------------------------------------------------------------------------------

    def _wait(self, holder: Holder, code: Code, text: str) -> None:
        holder.unsaid[code] = text
        if holder.absent.pop(code, None) is None:
            _insert(self._waiting.setdefault(code, array("I")), holder.number)
        holder.absent[code] = text
        if len(holder.absent) > ABSENT_MAX:
            oldest = next(iter(holder.absent))
            del holder.absent[oldest]
            self._wait_no_longer(oldest, holder.number)

    def _wait_no_longer(self, code: Code, host: int) -> None:
        waiting = self._waiting[code]
        _remove(waiting, host)
        if not waiting:
            del self._waiting[code]

    def _waited_for(self, code: Code) -> list[Code]:
        """The subjects that somebody waits for and that this one answers. Cost: O(all of them) for a prefix."""
        if not isinstance(code, str) or "/" not in code:
            return [code] if code in self._waiting else []
        prefix = ip_network(code, strict=False)
        return [
            waiting
            for waiting, hosts in self._waiting.items()
            if _is_in(self._text(waiting, hosts[0]), prefix)
        ]

    def _text(self, code: Code, host: int) -> str:
        holder = self._holders[host]
        assert holder is not None  # as above
        return holder.absent[code]

    def _heard(self, code: Code, key: Key) -> None:
        """It is not absent any more but answered by `key`, and must not be said to be."""
        for host in self._waiting.pop(code):
            holder = self._holders[host]
            assert holder is not None  # as above
            holder.came[key] = code, holder.absent.pop(code)
            holder.unsaid.pop(code, None)
            self._stirred[holder] = None

    # --- numbers ---------------------------------------------------------------------------------------

    def _number(self, key: Key) -> int:
        number = self._numbers.get(key)
        if number is not None:
            return number
        if self._free:
            number = self._free.pop()
            self._keys[number] = key
        else:
            number = len(self._keys)
            self._keys.append(key)
            self._holders_of.append(array("I"))
        self._numbers[key] = number
        return number

    def _left(self, number: int, host: int) -> None:
        holders = self._holders_of[number]
        _remove(holders, host)
        if not holders:
            self._release(number)

    def _release(self, number: int) -> None:
        key = self._keys[number]
        assert key is not None  # only a number in use is released
        del self._numbers[key]
        self._keys[number] = None
        self._holders_of[number] = array("I")
        self._free.append(number)

    # --- telling ---------------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Pairs of key and holder. Cost: O(holders)."""
        return sum(len(holder.keys) for holder in self._holders if holder is not None)


def _insert(numbers: "array[int]", number: int) -> bool:
    """Into a sorted array; False if it was there."""
    place = bisect_left(numbers, number)
    if place < len(numbers) and numbers[place] == number:
        return False
    numbers.insert(place, number)
    return True


def _remove(numbers: "array[int]", number: int) -> None:
    place = bisect_left(numbers, number)
    if place < len(numbers) and numbers[place] == number:
        del numbers[place]


def _length(cidr: str) -> tuple[int, int]:
    return 6 if ":" in cidr else 4, int(cidr.partition("/")[2])


def _is_in(text: str, prefix: IPv4Network | IPv6Network) -> bool:
    try:
        return ip_address(text) in prefix
    except ValueError:
        return False  # a MAC or a name
