"""Every case of segments, trunks and claims on simulated switches."""

from collections import Counter
from functools import lru_cache

import pytest

from tests.support.cases_segments import SEGMENT_CASES, SegmentCase
from tests.support.packet_site import Fabric, Site

ALL = [
    pytest.param(case, id=f"{about}: {case.name}") for about, cases in SEGMENT_CASES.items() for case in cases
]


@lru_cache(32)
def fabric_of(site: Site) -> Fabric:
    """One fabric per site: cases do not change it."""
    return Fabric(site)


@pytest.mark.parametrize("case", ALL)
def test_a_frame_reaches_exactly_whom_it_should(case: SegmentCase) -> None:
    """Each receiver gets the frame it should, once; nobody else gets any; each wire carries it once."""
    outcome = fabric_of(case.site).send(case.sender, case.frame)

    assert Counter(outcome.delivered) == Counter(case.expected.items())
    assert Counter(outcome.outside) == Counter(case.outside)
    assert len(outcome.punted) == case.punted


def test_cases_have_names_of_their_own() -> None:
    """A failure names one case."""
    names = [case.name for cases in SEGMENT_CASES.values() for case in cases]

    assert len(names) == len(set(names))
