"""Every case of networks held on demand, on simulated switches."""

from collections import Counter
from functools import lru_cache

import pytest

from alcor.pipeline.tables import FLAGS, LACK, Flag, Table
from tests.support.cases_on_demand import CASES, FLOODED, LAZY, WHOLE, DemandCase
from tests.support.packet_site import Fabric, Site

ALL = [pytest.param(case, id=f"{about}: {case.name}") for about, cases in CASES.items() for case in cases]


@lru_cache(16)
def fabric_of(site: Site) -> Fabric:
    """One fabric per site: cases do not change it."""
    return Fabric(site)


@pytest.mark.parametrize("case", ALL)
def test_a_frame_reaches_exactly_whom_it_should(case: DemandCase) -> None:
    """Each receiver gets the frame it should, once; nobody else gets any; the agents are asked about what lacks."""
    fabric = fabric_of(case.site)

    outcome = fabric.send(case.sender, case.frame)

    assert Counter(outcome.delivered) == Counter(case.expected.items())
    lacks = [(id, one.fields[LACK.value[0]]) for id, one in outcome.punted]
    assert lacks == list(case.asked)
    assert all(one.table == Table.ASK_HOST for _, one in outcome.punted)


@pytest.mark.parametrize("case", ALL)
def test_a_look_up_says_whether_a_relay_has_the_packet(case: DemandCase) -> None:
    """What reaches the agent alone waits there; of what a relay has it gets a marked copy."""
    outcome = fabric_of(case.site).send(case.sender, case.frame)

    relayed = [bool(one.fields.get(FLAGS.value[0], 0) & Flag.RELAYED) for _, one in outcome.punted]
    assert relayed == [not case.is_alone] * len(case.asked)


def test_whole_and_on_demand_agree() -> None:
    """What reaches somebody by a relay reaches the same when every host holds everything."""
    whole = fabric_of(WHOLE)

    lacking = (LAZY, FLOODED)
    for case in (
        case for cases in CASES.values() for case in cases if case.site in lacking and case.expected
    ):
        assert Counter(whole.send(case.sender, case.frame).delivered) == Counter(case.expected.items())


def test_cases_have_names_of_their_own() -> None:
    """A failure names one case."""
    for cases in CASES.values():
        assert len({case.name for case in cases}) == len(cases)
