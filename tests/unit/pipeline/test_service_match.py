"""Services as matches: ranges, protocols, fragments."""

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from alcor.pipeline.prefix import entry_of
from alcor.pipeline.service_match import (
    Service,
    Terms,
    address_terms,
    later_terms,
    range_masks,
    service_terms,
)

ports = st.integers(0, 0xFFFF)


def covered(masks: tuple[int | tuple[int, int], ...]) -> list[tuple[int, int]]:
    """First and last port of each mask."""
    pairs = [mask if isinstance(mask, tuple) else (mask, 0xFFFF) for mask in masks]
    return [(value, value | ~mask & 0xFFFF) for value, mask in pairs]


@given(ports, ports)
def test_a_range_is_exactly_its_masks(one: int, other: int) -> None:
    """The masks follow each other without gap or overlap, from the first port to the last."""
    first, last = sorted((one, other))

    parts = covered(range_masks(first, last))

    assert parts[0][0] == first
    assert parts[-1][1] == last
    assert all(after[0] == before[1] + 1 for before, after in pairwise(parts))


@pytest.mark.parametrize(
    ("first", "last", "count"), [(80, 80, 1), (1024, 65_535, 6), (1, 65_534, 30), (1000, 2003, 8)]
)
def test_a_range_takes_the_fewest_masks(first: int, last: int, count: int) -> None:
    """The worst range takes 30 flows, a power of two one."""
    assert len(range_masks(first, last)) == count


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (Service(4, None), [{}]),
        (Service(4, 0), [{}]),
        (Service(4, 47), [{"ip_proto": 47}]),
        (Service(4, 6, 80, 80), [{"ip_proto": 6, "ip_frag": (0, 2), "tcp_dst": 80}]),
        (Service(6, 17, None, None, (53, 53)), [{"ip_proto": 17, "ip_frag": (0, 2), "udp_src": 53}]),
        (Service(4, 6, 0, 65_535), [{"ip_proto": 6, "ip_frag": (0, 2)}]),
        (Service(4, 1, 8), [{"ip_proto": 1, "ip_frag": (0, 2), "icmpv4_type": 8}]),
        (Service(6, 58, 128, 0), [{"ip_proto": 58, "ip_frag": (0, 2), "icmpv6_type": 128, "icmpv6_code": 0}]),
        (Service(6, 1, 8, 0), []),
        (Service(4, None, 80, 80), []),
        (Service(4, 136, 80, 80), []),
        (Service(4, 47, 80, 80), []),
    ],
)
def test_a_service_says_what_packets_are_it(service: Service, expected: list[Terms]) -> None:
    """What a switch cannot see (ports of UDP-Lite, ports of any protocol) is nobody's: such a service is nothing."""
    assert list(service_terms(service)) == expected


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (Service(4, 6, 80, 80), [{"ip_frag": (2, 2), "ip_proto": 6}]),
        (Service(6, 6, 80, 80), [{"ip_frag": (2, 2), "ip_proto": 44}]),
        (Service(4, 6), []),
        (Service(6, 6), [{"ip_frag": (2, 2), "ip_proto": 44}]),
        (Service(6, None), []),
        (Service(4, 136, 80, 80), []),
    ],
)
def test_later_fragments_are_known_by_their_protocol(service: Service, expected: list[Terms]) -> None:
    """They have no ports, and of IPv6 no protocol; what `service_terms` covers already is not said twice."""
    assert list(later_terms(service)) == expected


@pytest.mark.parametrize(
    ("cidr", "expected"),
    [
        ("0.0.0.0/0", {}),
        ("10.0.0.0/8", {"ipv4_src": (10 << 24, 0xFF00_0000)}),
        ("10.0.0.1/32", {"ipv4_src": (10 << 24) + 1}),
        ("::1/128", {"ipv6_src": 1}),
    ],
)
def test_a_prefix_is_a_masked_address(cidr: str, expected: Terms) -> None:
    """All addresses are no condition, one address is matched whole."""
    assert address_terms("src", entry_of(cidr)) == expected


def test_prefixes_hold_each_other() -> None:
    """A prefix encloses itself and longer ones of its version."""
    wide, narrow, other = map(entry_of, ("10.0.0.0/8", "10.1.0.0/16", "::/0"))

    assert wide.encloses(narrow)
    assert wide.encloses(wide)
    assert not narrow.encloses(wide)
    assert not other.encloses(wide)
    assert narrow.cut(8) == wide
    assert narrow.text == "10.1.0.0/16"
