"""The release of what agents hold: an operator said that the present history is right, or the region found it calm.

It is a row so that it goes through the change log to every host, also to one that is away now.
"""

from uuid import NAMESPACE_OID, uuid5

from alcor.model.resource import Attribute, Entity, Resource
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import Integer

RELEASE_ID = str(uuid5(NAMESPACE_OID, "epoch release"))
"""The row of what an operator said."""

CALM_ID = str(uuid5(NAMESPACE_OID, "epoch calm"))
"""The row of what the region found: through which epoch no host has a living port that is not known."""

HELD = "deletions are held"
"""How the sentence begins by which an agent says that it holds something (`HostObservation.detail`)."""


class EpochRelease(Entity, frozen=True, kw_only=True, gc=False):
    """The last release. `epoch`: through which epoch histories are right. `number`: counts releases."""

    epoch: int
    number: int


EPOCH_RELEASE = Resource(
    name="epoch_release",
    collection="epoch_releases",
    entity=EpochRelease,
    prefix="",
    text="Through which epoch agents may delete what the region does not know; served by /epoch.",
    attributes=(
        *STANDARD,
        Attribute("epoch", Integer(), text="The epoch that is right."),
        Attribute("number", Integer(), text="How often something was released."),
        *COUNTED,
    ),
)
