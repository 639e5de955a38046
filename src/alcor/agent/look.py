"""The question "what would your switch do with this packet?", in the region's words: ports and VTEPs, not numbers.

Question: `{"ask": "trace", "frame": hex, "end": {"place", "to", "network_type", "tun_id"}, "is_reply": bool}`.
Answer: `{"exits": [{"kind", "to"}, …], "flows": [text, …], "is_translated": bool}`.
"""

from collections.abc import Mapping
from typing import Any

from alcor.agent.driver import ExitKind, Switch, TraceEntry, TraceExit
from alcor.pipeline.view import Allocation


class Look:
    """Answers with the host's own switch; `allocation` is its present numbers."""

    def __init__(self, switch: Switch, allocation: Allocation) -> None:
        self._switch, self._allocation = switch, allocation

    async def answer(self, said: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises: ValueError if the end is not this host's; SwitchError."""
        end = said["end"]
        place, to = str(end["place"]), str(end["to"])
        entry = TraceEntry(
            frame=bytes.fromhex(said["frame"]),
            in_port=self._ofport(place, to, str(end.get("network_type", ""))),
            tunnel_source=to if place == "tunnel" else "",
            tun_id=int(end.get("tun_id", 0)),
            is_reply=bool(said.get("is_reply")),
        )
        found = await self._switch.trace(entry)
        return {
            "exits": [self._exit(each, entry.in_port) for each in found.exits],
            "flows": list(found.flows),
            "is_translated": found.is_translated,
        }

    def _ofport(self, place: str, to: str, network_type: str) -> int:
        known = self._allocation
        number: int | None = None
        if place == "port":
            number = known.ofports.get(to)
        elif place == "tunnel":
            number = known.tunnels.get(network_type)
        elif place == "provider":
            number = known.providers.get(to)
        if not number:
            raise ValueError(f"this host's switch has no {place} {to or network_type}")
        return number

    def _exit(self, found: TraceExit, in_port: int) -> dict[str, str]:
        known, port = self._allocation, found.port
        if found.kind is not ExitKind.PORT or port == in_port:
            return {"kind": found.kind.value if found.kind is not ExitKind.PORT else "back", "to": ""}
        for (_, vtep), ofport in known.probes.items():
            if ofport == port:
                return {"kind": "tunnel", "to": vtep}
        if port in known.tunnels.values():
            return {"kind": "tunnel", "to": found.tunnel_end}
        for name, ofport in known.providers.items():
            if ofport == port:
                return {"kind": "provider", "to": name}
        if port == known.metadata_ofport:
            return {"kind": "metadata", "to": ""}
        for port_id, ofport in known.ofports.items():
            if ofport == port:
                return {"kind": "port", "to": port_id}
        return {"kind": "unknown", "to": str(port)}
