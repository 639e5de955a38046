"""FRR as somebody else's router: zebra and bgpd in a namespace, with files of their own."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alcor.lab.command import run, wait_until

DAEMONS = Path("/usr/lib/frr")
USER = "frr"


def reachable(folder: Path) -> None:
    """Let FRR's account through to a folder that pytest made for its own."""
    for one in (folder, *folder.parents[:-2]):
        one.chmod(one.stat().st_mode | 0o011)


class OutsideRouter:
    """A router that puts what it learns by BGP into its namespace's routes."""

    def __init__(self, namespace: str, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder

    def routes(self) -> dict[str, str]:
        """Prefix → next hop of the best path, of both families."""
        found = {}
        for family in ("ipv4", "ipv6"):
            table = json.loads(self._show(f"show bgp {family} unicast json"))["routes"]
            for prefix, paths in table.items():
                best = next((path for path in paths if path.get("bestpath")), paths[0])
                hops = [hop["ip"] for hop in best["nexthops"] if hop.get("scope") != "link-local"]
                found[prefix] = str(hops[0])
        return found

    def established(self) -> set[str]:
        """The peers with a session."""
        peers = json.loads(self._show("show bgp neighbors json"))
        return {
            ip for ip, one in peers.items() if isinstance(one, dict) and one.get("bgpState") == "Established"
        }

    def _show(self, command: str) -> str:
        return run("vtysh", "--vty_socket", str(self.folder), "-c", command)


@contextmanager
def an_outside_router(namespace: str, folder: Path, configuration: str) -> Iterator[OutsideRouter]:
    """zebra and bgpd in a namespace until the end."""
    reachable(folder)  # again: a pytest that began meanwhile closes the folder of all pytests
    (folder / "bgpd.conf").write_text(configuration)
    (folder / "zebra.conf").write_text("")
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, USER, USER)
    processes = []
    try:
        for name in ("zebra", "bgpd"):
            command = [
                "ip",
                "netns",
                "exec",
                namespace,
                str(DAEMONS / name),
                "-P",
                "0",
                "-u",
                USER,
                "-g",
                USER,
            ]
            command += ["-f", str(folder / f"{name}.conf"), "-i", str(folder / f"{name}.pid")]
            command += ["-z", str(folder / "zserv"), "--vty_socket", str(folder)]
            processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            wait_until(name, (folder / f"{name}.vty").exists)
        yield OutsideRouter(namespace, folder)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()
