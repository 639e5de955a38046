"""OVN of the distribution on the laboratory's hosts: one logical switch with stateful ACLs, for comparison only."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from alcor.lab.command import run, start, wait_until
from alcor.lab.host import LabHost
from alcor.lab.ledger import Ledger

_SCHEMAS = Path("/usr/share/ovn")
_PATH = "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin"


def missing() -> str:
    """Why OVN cannot run here; empty if it can."""
    for program in ("ovn-northd", "ovn-controller", "ovn-nbctl"):
        if shutil.which(program, path=_PATH) is None:
            return f"{program} is not installed (Debian: ovn-central, ovn-host)"
    return ""


class Ovn:
    """A central and one controller per host. Everything it starts is in the ledger."""

    def __init__(self, folder: Path, hosts: Sequence[LabHost], ledger: Ledger) -> None:
        self._folder, self._hosts, self._ledger = folder, hosts, ledger
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start the two databases, northd, and a controller in each host's namespace."""
        for name in ("nb", "sb"):
            database = self._folder / f"{name}.db"
            run("ovsdb-tool", "create", str(database), str(_SCHEMAS / f"ovn-{name}.ovsschema"))
            self._start(
                f"{name}-server",
                *("ovsdb-server", str(database), f"--remote=punix:{self._socket(name)}"),
                f"--unixctl={self._folder}/{name}.ctl",
            )
            wait_until(f"OVN's {name} database", Path(self._socket(name)).exists)
        self._start(
            "northd",
            *("ovn-northd", f"--ovnnb-db=unix:{self._socket('nb')}", f"--ovnsb-db=unix:{self._socket('sb')}"),
            f"--unixctl={self._folder}/northd.ctl",
        )
        for host in self._hosts:
            ids = {
                "system-id": host.name,
                "ovn-remote": f"unix:{self._socket('sb')}",
                "ovn-encap-type": "geneve",
                "ovn-encap-ip": host.vtep,
                "ovn-bridge-datapath-type": "netdev",
            }
            words = [f"external_ids:{name}={value}" for name, value in ids.items()]
            host.vsctl("set", "open", ".", *words)
            self._start(
                f"controller-{host.name}",
                *("ip", "netns", "exec", host.namespace, "ovn-controller", f"unix:{host.db_socket}"),
                environment={"OVS_RUNDIR": str(host.run_folder), "OVN_RUNDIR": str(host.run_folder)},
            )

    def network(self, ports: Mapping[str, tuple[str, str]]) -> None:
        """A logical switch with these ports (name → MAC, IP): all may send; TCP, UDP and ICMP may come in, tracked.

        The same policy as Alcor's in the benchmark: port security, and stateful groups of two rules.
        """
        self.nbctl("ls-add", "net")
        for name, (mac, ip) in ports.items():
            self.nbctl("lsp-add", "net", name)
            self.nbctl("lsp-set-addresses", name, f"{mac} {ip}")
            self.nbctl("lsp-set-port-security", name, f"{mac} {ip}")
        self.nbctl("pg-add", "group", *ports)
        for direction, side in (("from-lport", "inport"), ("to-lport", "outport")):
            for protocol in ("tcp", "udp", "icmp4"):
                match = f"{side} == @group && {protocol}"
                self.nbctl("acl-add", "group", direction, "1000", match, "allow-related")
            self.nbctl("acl-add", "group", direction, "900", f"{side} == @group && ip", "drop")
        self.nbctl("--wait=hv", "--timeout=30", "sync")

    def nbctl(self, *words: str) -> str:
        """Run ovn-nbctl."""
        return run("ovn-nbctl", f"--db=unix:{self._socket('nb')}", *words)

    def _socket(self, name: str) -> str:
        return f"{self._folder}/{name}.sock"

    def _start(self, name: str, *command: str, environment: Mapping[str, str] | None = None) -> None:
        start(
            self._ledger,
            *command,
            log=self._folder / f"{name}.log",
            env={"OVN_RUNDIR": str(self._folder), **(environment or {})},
        )
