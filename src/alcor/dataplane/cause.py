"""How a failure is logged: what the region expects by its reason, everything else with its trace."""

from typing import Any

from alcor.model.errors import Unavailable


def cause(error: Exception) -> dict[str, Any]:
    """Of an event in the log. A database that is away is asked again and again: its reason is enough."""
    return {"reason": error.message} if isinstance(error, Unavailable) else {"exc_info": error}
