"""From one epoch to the next in one step: what a new one says is kept aside until all of the host's closure is said.

After a restore the scopes of two histories must not meet in one view: a group of the restored one may allow what the
port of the lost one, which names it, was never to have (I10); and to close the port meanwhile would stop what lives. So
the old state stands, whole, until the new one is.
"""

from collections.abc import Sequence

from alcor.bus.interface import Dropped, Heads, ScopeUpdate
from alcor.goalstate.item import Key
from alcor.goalstate.scope import REGION, Scope

Message = ScopeUpdate | Heads | Dropped


class Crossing:
    """What is kept aside. Memory: the messages of one new epoch, until its closure is whole."""

    def __init__(self, own: Scope) -> None:
        """`own`: the scope of the host."""
        self._own = own
        self._epoch = 0
        self._kept: list[Message] = []
        # Scope → item → what it refers to; of scopes of which everything was said.
        self._whole: dict[Scope, dict[Key, tuple[Scope, ...]]] = {}
        self._partly: dict[Scope, dict[Key, tuple[Scope, ...]]] = {}

    def forget(self) -> None:
        """The stream ended: the next one says everything again."""
        self._epoch = 0
        self._kept.clear()
        self._whole.clear()
        self._partly.clear()

    def pass_on(self, messages: Sequence[Message], epoch: int) -> Sequence[Message]:
        """What may be applied now. `epoch`: of the host's own scope as it is held; 0 if it is not.

        Cost: nothing while the epoch stays; O(the closure) per batch of a new one.
        """
        if not epoch or not (self._kept or any(_epoch_of(each) > epoch for each in messages)):
            return messages
        passed: list[Message] = []
        for message in messages:
            new = _epoch_of(message)
            if new > epoch or (self._kept and not new):
                self._keep(message, new)
            else:
                passed.append(message)
        if self._is_complete():
            passed += self._kept
            self.forget()
        return passed

    def _keep(self, message: Message, epoch: int) -> None:
        self._kept.append(message)
        if epoch > self._epoch:
            self._epoch = epoch
            self._whole.clear()
            self._partly.clear()
        if not isinstance(message, ScopeUpdate) or epoch < self._epoch:
            return
        scope = message.scope
        if message.from_revision == 0:
            said = self._partly.setdefault(scope, {})
        elif scope in self._whole:
            said = self._whole[scope]
        else:
            return
        for key in message.removed:
            said.pop(key, None)
        said |= {envelope.key: envelope.refers for envelope in message.put}
        if message.from_revision == 0 and not message.more:
            self._whole[scope] = self._partly.pop(scope)

    def _is_complete(self) -> bool:
        """Whether the host's closure is whole in the new epoch."""
        seen: set[Scope] = set()
        pending = [self._own, REGION]
        while pending:
            scope = pending.pop()
            if scope in seen:
                continue
            if scope not in self._whole:
                return False
            seen.add(scope)
            for targets in self._whole[scope].values():
                pending += targets
        return True


def _epoch_of(message: Message) -> int:
    """0 of a message that is of none."""
    return 0 if isinstance(message, Dropped) else message.epoch
