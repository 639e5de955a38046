"""Run openstacksdk's own functional networking tests against a region of Alcor behind a real Keystone.

python -m tests.compat.sdk_run --long --verdict verdict.json
python -m tests.compat.sdk_run --regex test_port_forwarding
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.compat.cloud import Cloud, running_cloud
from tests.compat.command_line import Store, command_line, settings_of
from tests.compat.environment import program
from tests.compat.verdict import Verdict, judge, read_list, read_outcomes

LIST = Path(__file__).with_name("sdk_skips.toml")
EVERYTHING = r"^openstack\.tests\.functional\.network\."
# One of every family: what `bin/test` runs; `--long` runs everything.
SELECTION = (
    "address_group",
    "auto_allocated_topology",
    "floating_ip",
    "network",
    "port",
    "port_forwarding",
    "qos_bandwidth_limit_rule",
    "quota",
    "rbac_policy",
    "router_add_remove_interface",
    "security_group_rule",
    "segment",
    "subnet_from_subnet_pool",
    "trunk",
)
# A test of theirs that takes longer has hung.
TEST_S_MAX = 120


def selection() -> str:
    """The regular expression of what `bin/test` runs."""
    return EVERYTHING + r"v2\.test_(" + "|".join(SELECTION) + r")\."


def prepare(cloud: Cloud) -> None:
    """Make what the tests find on the cloud they are written for: a default way out and default pools of addresses."""
    with cloud.client() as api:
        api.update("v2.0/networks", "network", cloud.public_network_id, is_default=True)
        for version, prefix, length in ((4, "10.64.0.0/16", 26), (6, "fd64::/48", 64)):
            pool = {"name": f"shared-default-{version}", "prefixes": [prefix], "default_prefixlen": length}
            api.create("v2.0/subnetpools", "subnetpool", **pool, shared=True, is_default=True)


def run_sdk(cloud: Cloud, regex: str, concurrency: int) -> Path:
    """Run the tests a regular expression chooses; returns the file with their subunit stream."""
    workspace = cloud.folder / "sdk"
    workspace.mkdir()
    (workspace / "clouds.yaml").write_text(yaml.safe_dump(cloud.clouds()))
    python = program("sdk", "python")
    where: list[str | Path] = [python, "-c", "import openstack; print(*openstack.__path__)"]
    packages = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip()).parent
    tests = packages / "openstack" / "tests" / "functional" / "network"
    (workspace / ".stestr.conf").write_text(f"[DEFAULT]\ntest_path={tests}\ntop_dir={packages}\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    variables = kept | {
        "HOME": str(workspace),
        "OS_CLIENT_CONFIG_FILE": str(workspace / "clouds.yaml"),
        "OS_LOG_CAPTURE": "1",
        "OS_STDERR_CAPTURE": "1",
        "OS_STDOUT_CAPTURE": "1",
        "OS_TEST_TIMEOUT": str(TEST_S_MAX),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHON": str(python),
    }
    stream = cloud.folder / "sdk.subunit"
    stestr = program("sdk", "stestr")
    command: list[str | Path] = [stestr, "run", "--concurrency", str(concurrency), "--subunit", regex]
    with stream.open("wb") as output, (cloud.folder / "sdk.err").open("wb") as errors:
        subprocess.run(command, cwd=workspace, env=variables, stdout=output, stderr=errors, check=False)
    return stream


def run(folder: Path, *, regex: str, store: Store, concurrency: int = 2, complete: bool = False) -> Verdict:
    """Start a cloud, run the chosen tests, judge them."""
    with running_cloud(folder, settings_of(store)) as cloud:
        prepare(cloud)
        stream = run_sdk(cloud, regex, concurrency)
    return judge(read_outcomes("sdk", stream), read_list(LIST), complete=complete)


def main(words: Sequence[str]) -> int:
    """The command line; the exit status says whether the verdict is good."""
    return command_line(words, __doc__ or "", EVERYTHING, selection(), run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
