"""What a person sees while a run goes on: a live table on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from alcor.lab.simulate.run import Run

_LINE_S = 2.0
# So that it does not jump with its figures; what is longer is folded where a terminal is narrow.
_VALUE_WIDTH = 40
_MIB = 1 << 20


def quantile(samples: Sequence[float], share: float) -> float:
    """The value below which a share of the samples lies; 0 of none."""
    if not samples:
        return 0.0
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Display:
    """Shows a run. `quiet`: nothing at all."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._live = (
            Live(console=console, refresh_per_second=4) if console.is_terminal and not quiet else None
        )
        self._lined_s = 0.0
        self._phase = ""

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """One line that stays."""
        if not self._quiet:
            self._console.print(text, markup=False, highlight=False)

    def loading(self, loaded: int, ports: int, began_s: float) -> None:
        """Ports loaded so far."""
        now = time.monotonic()
        if loaded < ports and now - self._lined_s < _LINE_S:
            return
        self._lined_s = now
        self.say(f"loading: {loaded:,} of {ports:,} ports, {loaded / max(0.001, now - began_s):,.0f}/s")

    def show(self, run: Run) -> None:
        """The run as it is now."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.update(table(run))
            return
        now = time.monotonic()
        if run.samples and (now - self._lined_s >= _LINE_S or run.phase != self._phase):
            self._lined_s, self._phase = now, run.phase
            self.say(line(run))


def line(run: Run) -> str:
    """The run in one line."""
    last = run.samples[-1]
    memory = sum(last.rss.values()) / _MIB
    return (
        f"{last.at_s:7.1f} s  {run.phase}: {last.attached:,}/{run.alive:,} attached, {last.confirmed:,} at head "
        f"{last.head:,} (slowest {last.slowest:,}), {last.plugged:,} ports, {last.flows:,} flows, {memory:,.0f} MiB"
    )


def table(run: Run) -> Table:
    """The run as a table: hosts, revisions, rates, memory and processor of each process."""
    shown = Table(title=f"alcor simulate: {run.phase}", title_justify="left", show_header=False)
    shown.add_column("what", style="bold")
    shown.add_column("value", min_width=_VALUE_WIDTH)
    if not run.samples:
        return shown
    last = run.samples[-1]
    before = next(
        (each for each in reversed(run.samples[:-1]) if last.at_s - each.at_s >= 1.0), run.samples[0]
    )
    span = max(0.001, last.at_s - before.at_s)
    shown.add_row("hosts", f"{last.attached:,} of {run.alive:,} attached, {last.confirmed:,} have the head")
    shown.add_row("revision", f"head {last.head:,}, slowest {last.slowest:,} ({last.slowest_name})")
    shown.add_row("ports, flows", f"{last.plugged:,} plugged, {last.flows:,} flows")
    shown.add_row(
        "items, octets",
        f"{(last.items - before.items) / span:,.0f}/s, {(last.received - before.received) / span / 1e6:,.2f} MB/s",
    )
    if run.booted_ms:
        shown.add_row("boot of a host", _spread(run.booted_ms))
    whole = [change.total_ms for change in run.changes if change.is_whole]
    shown.add_row("changes", f"{len(run.changes):,}; call to last acknowledgement {_spread(whole)}")
    for name, octets in last.rss.items():
        share = (last.cpu_s.get(name, 0.0) - before.cpu_s.get(name, 0.0)) / span
        shown.add_row(name, f"{octets / _MIB:,.0f} MiB, {share:4.0%} of a processor")
    return shown


def _spread(samples_ms: Sequence[float]) -> str:
    if not samples_ms:
        return "-"
    return f"p50 {quantile(samples_ms, 0.5):,.1f} ms, p99 {quantile(samples_ms, 0.99):,.1f} ms"
