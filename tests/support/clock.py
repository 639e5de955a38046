"""Time in the hands of the test."""

NOW_MS = 1_790_000_000_000
NOW = "2026-09-21T14:13:20Z"


class Clock:
    """Unix milliseconds that move only when told."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
