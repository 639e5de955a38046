"""What is kept of a run: report.json with every figure, report.html for people, and the plots as SVG."""

import html
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from alcor import __version__
from alcor.lab.command import LabError
from alcor.lab.simulate.plan import Flows
from alcor.lab.simulate.region import Metrics
from alcor.lab.simulate.run import Change, Phase, Run
from alcor.lab.simulate.show import quantile

_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
_STAGES = ("call", "deliver", "spread", "install")
_STAGE_TEXT = {
    "call": "the API call until its answer (commit)",
    "deliver": "from the answer to the first host's agent (follow, compile, publish, receive)",
    "spread": "from the first host to the last (receive)",
    "install": "from the last arrival to the last acknowledgement (install, ack)",
    "total": "call to last acknowledgement",
}
_HISTOGRAMS = {
    "commit": "alcor_store_commit_seconds",
    "compile and publish": "alcor_dataplane_compile_seconds",
}
_FLOWS_TEXT = {
    Flows.ALL: "the pipeline computed all flows of all hosts; they are kept folded to one per unit, whole on the "
    "audited hosts",
    Flows.SAMPLE: "only the audited hosts computed flows; the others received, resolved and acknowledged",
    Flows.NONE: "no host computed flows: they received, resolved and acknowledged only",
}


def spread(samples: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99 and max, and how many; empty if there are none."""
    if not samples:
        return {}
    return {name: round(quantile(samples, share), 2) for name, share in _SHARES.items()} | {
        "count": len(samples)
    }


def facts(run: Run, *, workload: str, outcome: str, load_s: float) -> dict[str, Any]:
    """Everything that was seen, as JSON's values."""
    plan = run.plan
    last = run.samples[-1] if run.samples else None
    return {
        "workload": workload,
        "outcome": outcome,
        "findings": run.findings,
        "version": __version__,
        "machine": f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}",
        "load_average": os.getloadavg()[0],
        "plan": {
            "hosts": plan.hosts,
            "ports": plan.ports,
            "networks": len(plan.sizes),
            "ports of a network": [min(plan.sizes), max(plan.sizes)],
            "flows": str(plan.flows),
            "seed": plan.seed,
            "ncms": len(run.region.ncms),
        },
        "flows_meaning": _FLOWS_TEXT[plan.flows],
        "loading": {
            "elapsed_s": round(load_s, 2),
            "ports_per_s": round(plan.ports / load_s) if load_s else 0,
        },
        "phases": [_phase(phase) for phase in run.phases],
        "changes": changes_facts(run.changes),
        "install_ms": spread(run.install_ms),
        "boot_ms": spread(run.booted_ms),
        "stages_of_the_region_ms": {
            name: mean_ms(metric, run.metrics_begun, run.metrics_ended)
            for name, metric in _HISTOGRAMS.items()
        },
        "stages_ms": {
            name: spread([each[name] for each in run.stages_ms if name in each])
            for name in dict.fromkeys(name for each in run.stages_ms for name in each)
        },
        "wire": {"received": last.received, "sent": last.sent, "items": last.items} if last else {},
        "memory": dict(run.usage.rss_max),
        "memory_per_host": _per_host(run),
        "cpu_s": {name: round(value, 2) for name, value in run.usage.cpu_s.items()},
        "flows": last.flows if last else 0,
        "audit": run.audited,
    }


def _phase(phase: Phase) -> dict[str, Any]:
    figures = {
        name: spread(value) if isinstance(value, list) else value for name, value in phase.figures.items()
    }
    return {"name": phase.name, "elapsed_s": round(phase.elapsed_s, 2)} | figures


def changes_facts(changes: Sequence[Change]) -> dict[str, Any]:
    """Latency of changes, in all and per stage."""
    whole = [change for change in changes if change.is_whole]
    stages = [change.stages_ms() for change in whole]
    return {
        "count": len(changes),
        "confirmed": len(whole),
        "total_ms": spread([change.total_ms for change in whole]),
        **{f"{name}_ms": spread([stage[name] for stage in stages]) for name in _STAGES},
        "by kind": {
            what: spread([change.total_ms for change in whole if change.what == what])
            for what in sorted({change.what for change in whole})
        },
    }


def mean_ms(name: str, before: Metrics, after: Metrics) -> float:
    """The mean of a histogram's samples between two looks; 0 if there were none."""

    def sum_of(metrics: Mapping[str, float], part: str) -> float:
        return sum(value for key, value in metrics.items() if key.partition("{")[0] == f"{name}_{part}")

    count = sum_of(after, "count") - sum_of(before, "count")
    return round((sum_of(after, "sum") - sum_of(before, "sum")) / count * 1_000, 3) if count > 0 else 0.0


def _per_host(run: Run) -> int:
    workers = sum(octets for name, octets in run.usage.rss_max.items() if name.startswith("hosts-"))
    return round(workers / run.plan.hosts)


def make_folder(folder: Path) -> None:
    """Make the report's folder, or see that it can be written to. Raises: LabError with the reason."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise LabError(
            f"--report {folder}: {error.strerror}; name a folder that can be written to"
        ) from error


def write_report(folder: Path, run: Run, found: Mapping[str, Any]) -> list[Path]:
    """Write report.json, the plots and report.html into a folder that is there; returns what was written."""
    report = folder / "report.json"
    report.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    try:
        from alcor.lab.simulate.plots import write_plots

        plots = write_plots(folder, run)
    except ImportError:
        # The extra `simulate` is not installed: the figures are all there, only not drawn.
        plots = []
    page = folder / "report.html"
    page.write_text(_page(found, plots))
    return [report, page, *plots]


def _page(found: Mapping[str, Any], plots: Sequence[Path]) -> str:
    """One page that needs nothing else: the plots stand in it."""
    title = f"alcor simulate {found['workload']}: {found['outcome']}"
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(found['flows_meaning'])}.</p>"]
    for name in (
        "plan",
        "phases",
        "changes",
        "install_ms",
        "boot_ms",
        "stages_ms",
        "stages_of_the_region_ms",
        "wire",
    ):
        parts += [f"<h2>{name.replace('_', ' ')}</h2>", _shown(found[name])]
    parts += ["<h2>memory (octets, highest) and processor seconds</h2>"]
    parts.append(
        _shown(
            [{"process": n, "octets": o, "cpu s": found["cpu_s"].get(n)} for n, o in found["memory"].items()]
        )
    )
    parts.append(f"<p>{found['memory_per_host']:,} octets of workers' memory per simulated host.</p>")
    parts += ["<h2>audit</h2>", _shown(found["audit"])]
    parts += [f"<p>{html.escape(finding)}</p>" for finding in found["findings"]]
    legend = "".join(f"<li><b>{name}</b>: {text}</li>" for name, text in _STAGE_TEXT.items())
    parts.append(f"<h2>stages</h2><ul>{legend}</ul>")
    parts += [_inline(plot) for plot in plots]
    style = "body{font:14px sans-serif;margin:2em;max-width:70em}td,th{padding:2px 10px;text-align:left}"
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{style}</style>"
        + "\n".join(parts)
    )


def _inline(plot: Path) -> str:
    text = plot.read_text()
    return text[text.index("<svg") :]


def _shown(value: Any) -> str:
    """A value as nested tables."""
    if isinstance(value, Mapping):
        rows = "".join(
            f"<tr><th>{html.escape(str(key))}</th><td>{_shown(each)}</td></tr>" for key, each in value.items()
        )
        return f"<table>{rows}</table>" if rows else "none"
    if isinstance(value, list):
        return "".join(_shown(each) for each in value) or "none"
    return f"{value:,}" if isinstance(value, int | float) else html.escape(str(value))
