"""Every packet case on simulated switches."""

from collections import Counter
from functools import lru_cache

import pytest

from tests.support.packet_cases import CASES, Case
from tests.support.packet_site import Fabric, Site

ALL = [pytest.param(case, id=f"{about}: {case.name}") for about, cases in CASES.items() for case in cases]


@lru_cache(64)
def fabric_of(site: Site) -> Fabric:
    """One fabric per site: cases do not change it."""
    return Fabric(site)


@pytest.mark.parametrize("case", ALL)
def test_a_frame_reaches_exactly_whom_it_should(case: Case) -> None:
    """Each receiver gets the frame it should, once; nobody else gets any; the agent only what is for it."""
    fabric = fabric_of(case.site)

    outcome = fabric.send(case.sender, case.frame)

    assert Counter(outcome.delivered) == Counter(case.expected.items())
    assert [emission.frame for _, emission in outcome.punted] == [case.frame] * case.punted


@pytest.mark.parametrize("case", CASES["punts"], ids=lambda case: case.name)
def test_a_punt_names_its_port(case: Case) -> None:
    """The agent learns from the registers, not from the packet, which port of which network it is about."""
    fabric = fabric_of(case.site)
    row = case.site.port(case.sender)

    punted = fabric.send(case.sender, case.frame).punted

    for host_id, emission in punted:
        allocation = fabric.allocations[host_id]
        assert emission.fields == {
            "in_port": allocation.ofports[case.sender],
            "reg14": allocation.port_keys[case.sender],
            "metadata": allocation.network_keys[row.network_id],
        }
    assert len(punted) == case.punted


def test_cases_have_names_of_their_own() -> None:
    """A failure names one case."""
    names = [case.name for cases in CASES.values() for case in cases]

    assert len(names) == len(set(names))
