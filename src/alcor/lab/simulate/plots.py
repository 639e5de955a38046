"""The plots of a report, drawn by matplotlib (extra `simulate`) as SVG, without a display or a network."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from alcor.lab.simulate.run import Run

_MIB = 1 << 20
_STAGES = ("call", "deliver", "spread", "install")


def write_plots(folder: Path, run: Run) -> list[Path]:
    """Draw what there are samples of; returns the files."""
    # The same run gives the same file.
    matplotlib.rcParams["svg.hashsalt"] = "alcor"
    drawn = {
        "hosts": _hosts(run),
        "latency": _latency(run),
        "stages": _stages(run),
        "region_stages": _region_stages(run),
        "memory": _memory(run),
        "cpu": _cpu(run),
        "wire": _wire(run),
    }
    found = []
    for name, figure in drawn.items():
        if figure is not None:
            path = folder / f"{name}.svg"
            canvas: Any = FigureCanvasSVG(figure)
            canvas.print_svg(str(path), metadata={"Date": None})
            found.append(path)
    return found


def _figure(title: str, y: str, *, x: str = "seconds since the run began") -> tuple[Figure, Any]:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _hosts(run: Run) -> Figure | None:
    if not run.samples:
        return None
    figure, axes = _figure("Hosts", "hosts")
    at = [each.at_s for each in run.samples]
    axes.plot(at, [each.attached for each in run.samples], label="attached")
    # The others may have all they need: without anything new for them they hear of heads now and then.
    axes.plot(at, [each.confirmed for each in run.samples], label="know that they have the head")
    for phase in run.phases:
        axes.axvline(phase.began_s, color="grey", linewidth=0.6)
        axes.annotate(phase.name, (phase.began_s, 0), fontsize=7, rotation=90)
    axes.legend()
    return figure


def _latency(run: Run) -> Figure | None:
    whole = [change for change in run.changes if change.is_whole]
    if not whole:
        return None
    figure, axes = _figure("From the call to the last acknowledgement", "ms")
    for what in sorted({change.what for change in whole}):
        some = [change for change in whole if change.what == what]
        axes.scatter(
            [change.called_s - run.began for change in some],
            [change.total_ms for change in some],
            s=6,
            label=what,
        )
    axes.set_yscale("log")
    for of in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        of(ScalarFormatter())
    axes.legend()
    return figure


def _stages(run: Run) -> Figure | None:
    stages = [change.stages_ms() for change in run.changes if change.is_whole]
    return _boxes("Stages of a change", {name: [each[name] for each in stages] for name in _STAGES})


def _region_stages(run: Run) -> Figure | None:
    names = dict.fromkeys(name for each in run.stages_ms for name in each)
    of = {name: [each[name] for each in run.stages_ms if name in each] for name in names}
    return _boxes("Stages of calls that waited for hosts, by the region's clocks", of)


def _boxes(title: str, samples_ms: dict[str, list[float]]) -> Figure | None:
    """One box for each stage, the first at the top; whiskers from p1 to p99."""
    if not any(samples_ms.values()):
        return None
    figure, axes = _figure(f"{title} (p1, quartiles, p99)", "", x="ms")
    axes.boxplot(list(samples_ms.values()), orientation="horizontal", whis=(1, 99), showfliers=False)
    axes.set_yticklabels(samples_ms)
    axes.invert_yaxis()
    return figure


def _memory(run: Run) -> Figure | None:
    return _by_process(run, "Memory", "MiB", lambda sample, name, _before: sample.rss.get(name, 0) / _MIB)


def _cpu(run: Run) -> Figure | None:
    def share(sample: Any, name: str, before: Any) -> float:
        span = max(0.001, sample.at_s - before.at_s)
        return float((sample.cpu_s.get(name, 0.0) - before.cpu_s.get(name, 0.0)) / span)

    return _by_process(run, "Processors in use", "processors", share)


def _by_process(run: Run, title: str, unit: str, value: Any) -> Figure | None:
    if len(run.samples) < 2:
        return None
    figure, axes = _figure(title, unit)
    names = list(dict.fromkeys(name for sample in run.samples for name in sample.rss))
    pairs = list(zip(run.samples[1:], run.samples, strict=False))
    for name in names:
        axes.plot(
            [now.at_s for now, _ in pairs], [value(now, name, before) for now, before in pairs], label=name
        )
    axes.legend(fontsize=7)
    return figure


def _wire(run: Run) -> Figure | None:
    if len(run.samples) < 2:
        return None
    figure, axes = _figure("Octets on agents' streams", "MB")
    axes.plot(
        [each.at_s for each in run.samples], [each.received / 1e6 for each in run.samples], label="received"
    )
    axes.plot([each.at_s for each in run.samples], [each.sent / 1e6 for each in run.samples], label="sent")
    axes.legend()
    return figure
