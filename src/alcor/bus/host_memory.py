"""What a host said since it attached: enough to say all of it again to somebody who did not hear it."""

import msgspec

from alcor.bus.interface import ClaimReport, HostReport, LossReport, PortReport


class HostMemory:
    """The sum of one host's reports; only of the session that spoke last.

    Memory: one `PortReport` per plugged port, one `ClaimReport` per address that one of them claimed, one
    `LossReport` per gateway host in whose place this one serves or served.
    Cost of a report: O(what it says), not what is known.
    """

    __slots__ = (
        "_claims",
        "_latest",
        "_losses",
        "_plugged",
        "_position_max",
        "_realized",
        "_session",
        "_version",
    )

    def __init__(self, first: HostReport) -> None:
        self._latest = first
        self._session = first.session
        self._realized: dict[int, int] = {}
        self._plugged: dict[str, PortReport] = {}
        self._claims: dict[tuple[str, str], ClaimReport] = {}
        self._losses: dict[str, LossReport] = {}
        self._position_max = 0
        self._version = ""
        self.add(first)

    @property
    def session(self) -> int:
        """Which attachment spoke last."""
        return self._session

    @property
    def plugged(self) -> frozenset[str]:
        """The ports that are plugged."""
        return frozenset(self._plugged)

    def add(self, report: HostReport) -> None:
        """Take in a report. Another session than before voids all that was said (as in `merge_reports`)."""
        if report.session not in (0, self._session):
            self._session = report.session
            self._realized, self._plugged, self._claims, self._losses = {}, {}, {}, {}
            self._position_max, self._version = 0, ""
        if report.epoch != self._latest.epoch:
            self._realized, self._position_max = {}, 0
        for shard, revision in report.realized.items():
            self._realized[shard] = max(revision, self._realized.get(shard, 0))
        for port in report.ports:
            self._plugged.pop(port.port_id, None)
            if port.plugged:
                self._plugged[port.port_id] = port
            else:
                self._claims = {id: each for id, each in self._claims.items() if each.port_id != port.port_id}
        self._claims |= {claim.subject: claim for claim in report.claims}
        self._losses |= {loss.host_id: loss for loss in report.losses}
        self._position_max = max(self._position_max, report.position_max)
        self._version = report.agent_version or self._version
        self._latest = report

    def whole(self) -> HostReport:
        """All of it as one report. Cost: O(plugged ports)."""
        latest = self._latest
        return HostReport(
            host_id=latest.host_id,
            epoch=latest.epoch,
            alive=latest.alive,
            at_ms=latest.at_ms,
            agent_version=self._version,
            realized=dict(self._realized),
            ports=tuple(self._plugged.values()),
            detail=latest.detail,
            position_max=self._position_max,
            session=self._session,
            claims=tuple(self._claims.values()),
            losses=tuple(self._losses.values()),
            paths=latest.paths,
            rescues=latest.rescues,
            rescuer_id=latest.rescuer_id,
            settled=latest.settled,
        )

    def farewell(self) -> HostReport:
        """The report that the host is not heard any more, by nobody's clock but its own."""
        latest = self._latest
        return HostReport(
            host_id=latest.host_id,
            epoch=latest.epoch,
            alive=False,
            at_ms=latest.at_ms,
            agent_version=self._version,
            detail=latest.detail,
            session=self._session,
            rescues=latest.rescues,
            rescuer_id=latest.rescuer_id,
            settled=latest.settled,
        )


def with_unplugged(report: HostReport, before: frozenset[str]) -> HostReport:
    """A whole report for who heard `before` plugged: ports it does not name any more are reported unplugged."""
    named = {port.port_id for port in report.ports}
    gone = [PortReport(id, False, 0, float(report.at_ms)) for id in sorted(before - named)]
    if not gone:
        return report
    return msgspec.structs.replace(report, ports=(*report.ports, *gone))
