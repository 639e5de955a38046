"""The receiver's rules of delivery (protocol, section 4), written a second time and as plain functions.

The model (`tests.model.region`) explores them, and recorded runs of the real code are compared with them
(`tests.support.sim.trace`): what is proved of the one holds of the other as far as they agree.
"""

from enum import Enum
from typing import NamedTuple

NOTHING = -1
"""The position of who holds nothing."""
Stamp = tuple[int, int]
"""(epoch, generation): who speaks."""


class Verdict(Enum):
    """What a receiver does with a message about a scope."""

    APPLY = "apply"
    IGNORE = "ignore"
    ASK = "ask"
    """A gap: resume from the position, asked once."""


class Height(NamedTuple):
    """How far a scope is held: in which epoch, through which revision."""

    epoch: int
    position: int


NOT_HELD = Height(0, NOTHING)


class Rules:
    """The rules. Each is a method, so that a test can break one and see that it is missed."""

    def refuses(self, fence: Stamp, stamp: Stamp) -> bool:
        """Whether a message is of somebody who was replaced. `fence`: the highest stamp seen in the shard."""
        return stamp < fence

    def verdict(self, held: Height, epoch: int, begins: int, through: int, *, asked: bool) -> Verdict:
        """What to do with a step (`begins` > 0) or a snapshot (0). `asked`: a gap is asked for already."""
        position = held.position if held.epoch == epoch else NOTHING
        if begins == 0 and position < through:
            return Verdict.APPLY
        if position != NOTHING and begins <= position < through:
            return Verdict.APPLY
        if through > position and not asked:
            return Verdict.ASK
        return Verdict.IGNORE

    def verdict_in_part(
        self,
        held: Height,
        epoch: int,
        begins: int,
        through: int,
        *,
        is_part: bool,
        is_lazy: bool,
        asked: bool,
    ) -> Verdict:
        """As `verdict`, of a scope that is held in part (`is_part`) or will be (`is_lazy`). A step that ends where the
        scope stands is an answer; what is held in part becomes whole by a snapshot only."""
        position = held.position if held.epoch == epoch else NOTHING
        if begins == 0 and position <= through:
            return Verdict.APPLY
        if position != NOTHING and begins <= position <= through and (is_lazy or not is_part):
            return Verdict.APPLY
        if through > position and not asked:
            return Verdict.ASK
        return Verdict.IGNORE

    def resolves(self, holder: Height, since: int, target: Height) -> bool:
        """Whether a reference of an item in `holder`, introduced by revision `since`, may be followed.

        Not into another epoch: after a restore a target's revisions say nothing of its holder's.
        """
        return target.epoch == holder.epoch and target.position >= since
