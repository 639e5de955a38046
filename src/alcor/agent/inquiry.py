"""Questions from the region: the agent looks and says; nothing is changed by them.

A question is a JSON object whose `ask` names what; the answer is a JSON object, or a sentence why there is none.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from alcor.agent.driver import SwitchError
from alcor.bus.interface import Question, Reply
from alcor.telemetry.log import get_log

log = get_log("agent")

Ask = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Answers one kind of question. Raises: ValueError (the question makes no sense), SwitchError."""


class Inquiry:
    """Answers questions. `asks`: kind → who answers it."""

    def __init__(self, asks: Mapping[str, Ask]) -> None:
        self._asks = asks

    async def answer(self, question: Question) -> Reply:
        """The reply, an error included: a question never hurts the agent."""
        try:
            said = orjson.loads(question.body)
            kind = said.get("ask") if isinstance(said, dict) else None
            ask = self._asks.get(str(kind))
            if ask is None:
                known = ", ".join(sorted(self._asks))
                return Reply(
                    question.number, error=f"this agent does not know the question '{kind}': {known}"
                )
            return Reply(question.number, orjson.dumps(await ask(said)))
        except (SwitchError, ValueError, TypeError, KeyError) as error:
            return Reply(question.number, error=f"{type(error).__name__}: {error}")
        except Exception as error:
            # The edge of the loop: whoever asked hears of it, and the agent goes on.
            log.exception("question_failed")
            return Reply(question.number, error=f"{type(error).__name__}: {error}")
