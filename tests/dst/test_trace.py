"""Recorded runs of the real code keep the rules that the model is explored with; a record that does not is noticed.

That they do is looked at in every run of `test_seeds`.
"""

from tests.support.sim.child import run_child
from tests.support.sim.doctor import DOCTORS


def test_a_record_that_was_tampered_with_is_noticed() -> None:
    """A step that is lost, begins late, says less or comes from who was replaced, a position that goes back or ahead, a
    question without a gap, a port that is open too early, a removal that comes too early, a part that nobody told of:
    each is found in a record in which nothing was found before."""
    own, *tampered = run_child("doctored", 9)

    assert own.findings == []
    assert [one.digest for one in tampered] == [doctor.__name__ for doctor, _ in DOCTORS]
    for one, (_, says) in zip(tampered, DOCTORS, strict=True):
        assert any(says in finding for finding in one.findings), (one.digest, one.findings)
