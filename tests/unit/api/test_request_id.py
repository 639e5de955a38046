"""Ids of requests."""

import re

from alcor.api.request_id import RequestIds

# The form clients of OpenStack know; Nova and oslo.log look for it.
_FORM = re.compile(r"req-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


def test_ids_have_the_form_clients_look_for() -> None:
    """An id is `req-` and a UUID, of version 7 and the variant of RFC 9562."""
    ids = RequestIds(seed=1)

    for id in [ids.next() for _ in range(100)]:
        assert _FORM.match(id)
        assert id[18] == "7"
        assert id[23] in "89ab"


def test_ids_are_in_the_order_of_time() -> None:
    """The id of a later millisecond sorts after that of an earlier one, whatever is random in them."""
    times_ms = iter([1_000, 1_001, 1_700_000_000_000, 1_700_000_000_001])
    ids = RequestIds(clock_ns=lambda: next(times_ms) * 1_000_000, seed=1)

    given = [ids.next() for _ in range(4)]

    assert given == sorted(given)


def test_ids_of_one_millisecond_differ() -> None:
    """Ten thousand ids of one moment are ten thousand ids, and two processes give different ones."""
    here, there = (RequestIds(clock_ns=lambda: 0) for _ in range(2))

    given = [ids.next() for ids in (here, there) for _ in range(10_000)]

    assert len(set(given)) == 20_000
