"""Claims of addresses on their way up: the wire, merged reports, what an ncm says again."""

from alcor.bus.agent_frame import decode_agent_frame, encode_agent_frame
from alcor.bus.goal_frame import decode_want_frame, encode_want_message
from alcor.bus.host_memory import HostMemory
from alcor.bus.interface import Ack, ClaimReport, HostReport, PortReport
from alcor.bus.local import merge_reports

FIRST = ClaimReport("n", "10.0.0.9", "00:00:5e:00:01:07", "p", 1.5)
LATER = ClaimReport("n", "10.0.0.9", "00:00:5e:00:01:07", "q", 2.5)
OTHER = ClaimReport("n", "fd00::9", "00:00:5e:00:01:07", "p", 1.0)


def a_report(*claims: ClaimReport, session: int = 1, ports: tuple[PortReport, ...] = ()) -> HostReport:
    return HostReport(host_id="h", epoch=7, alive=True, at_ms=1, session=session, claims=claims, ports=ports)


def test_claims_survive_the_wire() -> None:
    """From agent to ncm and from there to the dataplane, of both families."""
    ack = Ack(epoch=7, claims=(FIRST, OTHER))

    assert decode_agent_frame(encode_agent_frame([ack])) == [ack]
    assert decode_want_frame(encode_want_message(a_report(FIRST, OTHER)))[0] == [a_report(FIRST, OTHER)]


def test_of_merged_reports_the_last_claim_of_an_address_stays() -> None:
    """Reports that wait become one, with one claim for each address; a new attachment speaks alone."""
    assert merge_reports(a_report(FIRST, OTHER), a_report(LATER)).claims == (LATER, OTHER)
    assert merge_reports(a_report(FIRST), a_report(session=2)).claims == ()


def test_what_a_host_claimed_is_said_again_while_it_may_be_true() -> None:
    """To a dataplane that did not hear it; not of a port that was unplugged since, nor of an earlier attachment."""
    memory = HostMemory(a_report(FIRST, OTHER))
    memory.add(a_report(LATER))
    told = memory.whole().claims
    memory.add(a_report(ports=(PortReport("p", False, 0, 3.0),)))
    after_unplug = memory.whole().claims
    memory.add(a_report(session=2))

    assert told == (LATER, OTHER)
    assert after_unplug == (LATER,)
    assert memory.whole().claims == ()
