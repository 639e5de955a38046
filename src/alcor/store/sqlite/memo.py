"""What the writer has read of tables that change seldom, so that every create need not read its network again.

Only the writer's thread writes, so it knows when what it read is old: rows of a kind are forgotten when a request
that wrote the kind ends, however it ends, and everything when a group is lost. Rows are frozen and may be shared.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")

# Of one kind; a kind that reaches it starts anew. A few hundred networks are busy at a time.
_ENTRIES_MAX = 1_024


class Memo(Generic[V]):
    """Answers by kind of row and question."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[Hashable, V]] = {}

    def find(self, kind: str, question: Hashable) -> V | None:
        """The answer, if it is known."""
        answers = self._answers.get(kind)
        return answers.get(question) if answers else None

    def keep(self, kind: str, question: Hashable, answer: V) -> None:
        """Remember an answer."""
        answers = self._answers.setdefault(kind, {})
        if len(answers) >= _ENTRIES_MAX:
            answers.clear()
        answers[question] = answer

    def forget(self, kind: str) -> None:
        """Rows of this kind changed, or may have."""
        answers = self._answers.get(kind)
        if answers:
            answers.clear()

    def clear(self) -> None:
        """Nothing is known any more."""
        self._answers.clear()
