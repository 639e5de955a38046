"""Structured events, not prose: `log.info("delta_published", scope=…, items=n)`. Past-tense event names."""

import logging
import sys
from typing import Any, cast

import orjson
import structlog


def _to_json(event: dict[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def configure(level: str = "info", *, json: bool = False) -> None:
    """Set the process's log: readable lines on a terminal, one JSON object a line with `json`; to stderr."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_to_json)
            if json
            else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def get_log(area: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one area of the product."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(area=area))
