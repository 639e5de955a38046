"""Every story of groups, ACLs and firewalls on simulated switches."""

from collections import Counter

import pytest

from tests.support.cases_acl import ACLS
from tests.support.cases_firewall import FIREWALLS
from tests.support.cases_security import STORIES as GROUPS
from tests.support.packet_site import Fabric
from tests.support.stories import Story

STORIES = {**GROUPS, "ACLs": ACLS, "firewalls": FIREWALLS}
ALL = [
    pytest.param(story, id=f"{about}: {story.name}")
    for about, stories in STORIES.items()
    for story in stories
]


@pytest.mark.parametrize("story", ALL)
def test_each_packet_ends_where_it_should(story: Story) -> None:
    """Step by step: each receiver gets the frames it should, once, and nobody else gets any."""
    fabric = Fabric(story.site)

    for number, step in enumerate(story.steps, start=1):
        if step.site is not None:
            fabric.become(step.site)
        arrived = [found for frame in step.frames for found in fabric.send(step.sender, frame).delivered]

        assert Counter(arrived) == Counter(step.expected), f"step {number}"


def test_stories_have_names_of_their_own() -> None:
    """A failure names one story."""
    names = [story.name for stories in STORIES.values() for story in stories]

    assert len(names) == len(set(names))
