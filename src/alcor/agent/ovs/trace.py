"""What the switch itself says it would do with a packet: `ofproto/trace`, asked and read.

A trace changes nothing and sends nothing. It does not translate addresses: behind an action that does, the switch goes
on with the packet as it was, and what it then finds says little (`SwitchTrace.is_translated`).
Source: ovs-vswitchd(8), "ofproto/trace"; the form of its output as of Open vSwitch 3.1 to 3.5.
"""

import re
from pathlib import Path

from alcor.agent.driver import ExitKind, SwitchTrace, TraceEntry, TraceExit
from alcor.agent.ovs import unixctl
from alcor.model.address import Ip, ip_version

# A packet passes each port's zone and a router's at most twice; more words than that are ignored by the switch.
_CT_PASSES_MAX = 8
_REPLY = "trk,est,rpl"
_BRIDGE = re.compile(r'^bridge\("(?P<name>[^"]+)"\)$')
_FLOW = re.compile(r"^\s*(?P<table>\d+)\. (?P<text>.*(?:priority \d+.*|No match\.))$")
_TUNNEL_END = re.compile(r"set_field:(?P<ip>[0-9a-f.:]+)->tun_(?:ipv6_)?dst\b")
_OUTPUT = re.compile(r"^output:(?P<port>\d+)$")
_TRANSLATES = re.compile(r"\bct\([^)]*\bnat\b")


async def trace(control: Path, bridge: str, entry: TraceEntry) -> SwitchTrace:
    """Trace one packet through the flows of `bridge`. Cost: about 1 ms. Raises: SwitchError."""
    words = [word for state in (_REPLY,) * _CT_PASSES_MAX if entry.is_reply for word in ("--ct-next", state)]
    text = await unixctl.call(control, "ofproto/trace", *words, bridge, _flow(entry), entry.frame.hex())
    return parse_trace(text, bridge)


def _flow(entry: TraceEntry) -> str:
    terms = [f"in_port={entry.in_port}"]
    if entry.tunnel_source:
        prefix = "tun" if ip_version(Ip(entry.tunnel_source)) == 4 else "tun_ipv6"
        terms += [f"tun_id={entry.tun_id:#x}", f"{prefix}_src={entry.tunnel_source}"]
        # With a frame, the switch forgets all about a tunnel that has no end; no flow of ours looks at that.
        terms.append(f"{prefix}_dst={entry.tunnel_source}")
    return ",".join(terms)


def parse_trace(text: str, bridge: str) -> SwitchTrace:
    """Read the output of `ofproto/trace`: the flows of `bridge` that matched, and how the packet left it."""
    flows: list[str] = []
    exits: list[TraceExit] = []
    here, end, translated = "", "", False
    for line in text.splitlines():
        found = _BRIDGE.match(line)
        if found is not None:
            here = found["name"]
            continue
        if here != bridge:
            continue
        flow, action = _FLOW.match(line), line.strip()
        if flow is not None:
            flows.append(f"{flow['table']}: {flow['text'].strip()}")
            continue
        translated = translated or _TRANSLATES.search(action) is not None
        tunnel = _TUNNEL_END.match(action)
        output = _OUTPUT.match(action)
        if tunnel is not None:
            end = tunnel["ip"]
        elif output is not None:
            exits.append(TraceExit(ExitKind.PORT, int(output["port"]), end))
        elif action == "IN_PORT":
            exits.append(TraceExit(ExitKind.BACK))
        elif action.startswith("CONTROLLER"):
            exits.append(TraceExit(ExitKind.AGENT))
    return SwitchTrace(tuple(flows), tuple(exits), translated)
