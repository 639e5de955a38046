"""Metrics that follow the data flow: one histogram per stage, so that "where is the time?" is one row.

Every metric is declared here, so that the reference page can be made from this file. Children with labels are bound
once by their users; there is never a metric per port.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
_STAGE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


def _histogram(name: str, text: str, labels: tuple[str, ...] = ()) -> Histogram:
    return Histogram(name, text, labels, registry=REGISTRY, buckets=_STAGE_SECONDS)


API_SECONDS = _histogram(
    "alcor_api_request_seconds", "Time to answer a request.", ("collection", "method", "status")
)
API_CONNECTIONS_CUT = Counter(
    "alcor_api_connections_cut",
    "Connections ended because of their client: slow head, body or reading (answer), or too many.",
    ("reason",),
    registry=REGISTRY,
)
COMMIT_SECONDS = _histogram("alcor_store_commit_seconds", "Time of one group commit, made durable.")
COMMIT_REQUESTS = Histogram(
    "alcor_store_commit_requests",
    "Requests in one group commit.",
    registry=REGISTRY,
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
STATEMENTS = Counter(
    "alcor_store_statements_total",
    "Statements sent to the database, by what for.",
    ("store", "purpose"),
    registry=REGISTRY,
)
RERUNS = Counter(
    "alcor_store_reruns_total",
    "Requests run again because another changed the same rows at the same time.",
    ("store",),
    registry=REGISTRY,
)
COMPILE_SECONDS = _histogram("alcor_dataplane_compile_seconds", "Time from a cut to its published deltas.")
COMPUTE_EVENTS = Counter(
    "alcor_compute_events_total",
    "Events sent to the compute service.",
    ("event", "outcome"),
    registry=REGISTRY,
)
RECOMPUTED = Counter(
    "alcor_dataplane_recomputed_total", "Nodes recomputed whole.", ("node",), registry=REGISTRY
)
REVISION = Gauge("alcor_revision", "The last revision a part has processed.", ("part",), registry=REGISTRY)
BUS_STEPS = Counter(
    "alcor_bus_steps_total",
    "Steps of scopes for ncms, one per ncm: on its own stream (fast), or left to the broker (normal).",
    ("path",),
    registry=REGISTRY,
)
BUS_BYTES = Counter(
    "alcor_bus_bytes_total",
    "Octets sent to ncms on their streams (fast), or once to the broker (normal).",
    ("path",),
    registry=REGISTRY,
)
BUS_FALLBACKS = Counter(
    "alcor_bus_fallbacks_total",
    "Returns to the streams: the broker failed, or an ncm could not read it.",
    ("cause",),
    registry=REGISTRY,
)
BUS_BROKER = Gauge(
    "alcor_bus_broker_well", "Whether a dataplane sends by the broker: 1 while it does.", registry=REGISTRY
)
SHARDS_HELD = Gauge("alcor_dataplane_shards", "Shards this dataplane publishes.", registry=REGISTRY)
LAG_SECONDS = Gauge(
    "alcor_dataplane_lag_seconds", "How long the log has been ahead of this dataplane.", registry=REGISTRY
)
AGENTS = Gauge("alcor_ncm_agents", "Agents attached.", registry=REGISTRY)
AGENTS_WAITING = Gauge(
    "alcor_ncm_agents_waiting", "Agents that wait to be brought in sync.", registry=REGISTRY
)
SCOPES = Gauge("alcor_ncm_scopes", "Scopes held.", registry=REGISTRY)
SNAPSHOTS = Counter("alcor_ncm_snapshots_total", "Scope snapshots sent to agents.", registry=REGISTRY)
RESUMES = Counter("alcor_ncm_resumes_total", "Scopes resumed from an agent's position.", registry=REGISTRY)
LOOKUPS = Counter(
    "alcor_ncm_lookups_total",
    "Subjects that agents asked for, by what was found.",
    ("answer",),
    registry=REGISTRY,
)
SCOPES_LAZY = Gauge("alcor_ncm_scopes_lazy", "Scopes that hosts hold on demand.", registry=REGISTRY)
KEYS_HELD = Gauge(
    "alcor_ncm_keys_held", "Items of such scopes that hosts hold: pairs of item and host.", registry=REGISTRY
)
AGENT_OCTETS = Counter(
    "alcor_agent_wire_octets_total",
    "Octets of frames that agents of this process received and sent.",
    ("direction",),
    registry=REGISTRY,
)
INSTALL_SECONDS = _histogram(
    "alcor_agent_install_seconds", "Time from a frame's arrival to the barrier reply."
)
FLOW_CHANGES = Counter(
    "alcor_agent_flow_changes_total", "Flow changes sent to the switch.", ("change",), registry=REGISTRY
)
PUNTS = Counter("alcor_agent_punts_total", "Packets answered by the agent.", ("kind",), registry=REGISTRY)
