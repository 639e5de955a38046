"""Every story of the edge on simulated switches."""

from collections import Counter

import pytest

from tests.support.cases_edge import EDGE_STORIES, OUTSIDE, WIRE, EdgeStory, wired
from tests.support.packet_site import Fabric

ALL = [
    pytest.param(story, id=f"{about}: {story.name}")
    for about, stories in EDGE_STORIES.items()
    for story in stories
]


@pytest.mark.parametrize("story", ALL)
def test_each_packet_ends_where_it_should(story: EdgeStory) -> None:
    """Step by step: each receiver gets the frame it should, once, and nobody else gets any, outside or inside."""
    fabric, site = Fabric(story.site), story.site

    for number, step in enumerate(story.steps, start=1):
        if step.site is not None:
            fabric.become(step.site)
        if step.sender == OUTSIDE:
            outcome = fabric.send_from_outside(WIRE, wired(step.frame, site))
        else:
            outcome = fabric.send(step.sender, step.frame)

        arrived = Counter(outcome.delivered) + Counter((OUTSIDE, frame) for _, frame in outcome.outside)
        assert arrived == Counter(
            (place, wired(frame, site) if place == OUTSIDE else frame) for place, frame in step.arrives
        ), f"step {number}"
        assert len(outcome.punted) == step.punted, f"step {number}"


def test_stories_of_the_edge_have_names_of_their_own() -> None:
    """A failure names one story."""
    names = [(about, story.name) for about, stories in EDGE_STORIES.items() for story in stories]

    assert len(names) == len(set(names))
