"""Lost gateway hosts on their way up: the wire, merged reports, what an ncm says again."""

from alcor.bus.agent_frame import decode_agent_frame, encode_agent_frame
from alcor.bus.goal_frame import decode_want_frame, encode_want_message
from alcor.bus.host_memory import HostMemory
from alcor.bus.interface import Ack, HostReport, LossReport
from alcor.bus.local import merge_reports

FIRST, LATER, OTHER = LossReport("a", 1.5), LossReport("a", 2.5), LossReport("b", 1.0)


def a_report(*losses: LossReport, session: int = 1) -> HostReport:
    return HostReport(host_id="h", epoch=7, alive=True, at_ms=1, session=session, losses=losses)


def test_losses_survive_the_wire() -> None:
    """From agent to ncm and from there to the dataplane."""
    ack = Ack(epoch=7, losses=(FIRST, OTHER))

    assert decode_agent_frame(encode_agent_frame([ack])) == [ack]
    assert decode_want_frame(encode_want_message(a_report(FIRST, OTHER)))[0] == [a_report(FIRST, OTHER)]


def test_of_merged_reports_the_last_loss_of_a_host_stays() -> None:
    """Reports that wait become one, with one loss for each host; a new attachment speaks alone."""
    assert merge_reports(a_report(FIRST, OTHER), a_report(LATER)).losses == (LATER, OTHER)
    assert merge_reports(a_report(FIRST), a_report(session=2)).losses == ()


def test_what_was_lost_is_said_again_to_who_did_not_hear_it() -> None:
    """The last loss of each host, of the attachment that speaks."""
    memory = HostMemory(a_report(FIRST, OTHER))
    memory.add(a_report(LATER))
    told = memory.whole().losses
    memory.add(a_report(session=2))

    assert told == (LATER, OTHER)
    assert memory.whole().losses == ()
