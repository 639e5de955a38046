"""Run Tempest's networking tests against a region of Alcor behind a real Keystone, and judge what they said.

python -m tests.compat.tempest_run --long --verdict verdict.json
python -m tests.compat.tempest_run --regex tempest.api.network.test_ports
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.compat.cloud import HOST, PUBLIC_NETWORK, Cloud, running_cloud
from tests.compat.command_line import Store, command_line, settings_of
from tests.compat.compute import compute_service
from tests.compat.environment import program
from tests.compat.keystone import ADMIN_PASSWORD, REGION
from tests.compat.verdict import Verdict, judge, read_list, read_outcomes

LIST = Path(__file__).with_name("tempest_skips.toml")
EVERYTHING = r"^tempest\.api\.network\."
# One or two classes of every family: what `bin/test` runs; `--long` runs everything.
SELECTION = (
    "tempest.api.network.admin.test_external_network_extension.ExternalNetworksTestJSON",
    "tempest.api.network.admin.test_floating_ips_admin_actions",
    "tempest.api.network.admin.test_routers.RoutersAdminTest",
    "tempest.api.network.test_allowed_address_pair.AllowedAddressPairTestJSON",
    "tempest.api.network.test_extensions",
    "tempest.api.network.test_floating_ips.FloatingIPTestJSON",
    "tempest.api.network.test_networks.NetworksTest",
    "tempest.api.network.test_networks_negative",
    "tempest.api.network.test_ports.PortsTestJSON",
    "tempest.api.network.test_routers.RoutersTest",
    "tempest.api.network.test_security_groups.SecGroupTest",
    "tempest.api.network.test_subnetpools_extensions",
    "tempest.api.network.test_tags",
    "tempest.api.network.test_versions",
)


def selection() -> str:
    """The regular expression of what `bin/test` runs."""
    return "^(" + "|".join(name.replace(".", r"\.") for name in SELECTION) + r")\."


def configuration(cloud: Cloud) -> str:
    """The tempest.conf of a cloud that has Keystone, the Networking API and one answer of a compute service."""
    return f"""\
[DEFAULT]
debug = true
log_dir = logs
log_file = tempest.log
[oslo_concurrency]
lock_path = tempest_lock
[auth]
use_dynamic_credentials = true
tempest_roles = member
admin_username = admin
admin_password = {ADMIN_PASSWORD}
admin_project_name = admin
admin_domain_name = Default
[identity]
auth_version = v3
uri_v3 = {cloud.keystone.url}
region = {REGION}
[network]
public_network_id = {cloud.public_network_id}
floating_network_name = {PUBLIC_NETWORK}
[network-feature-enabled]
api_extensions = {",".join(cloud.extensions())}
ipv6_subnet_attributes = true
[service_available]
neutron = true
nova = true
glance = false
cinder = false
swift = false
"""


def run_tempest(cloud: Cloud, regex: str, concurrency: int) -> Path:
    """Run the tests a regular expression chooses; returns the file with their subunit stream.

    Tempest's own exit status says whether tests failed; the verdict is made from the stream.
    """
    workspace = cloud.folder / "tempest"
    search = f"{program('tempest', 'tempest').parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    # Tempest keeps a list of its workspaces in the home folder: a run is to leave nothing behind.
    variables = kept | {"PATH": search, "HOME": str(cloud.folder)}
    tempest = program("tempest", "tempest")
    subprocess.run([tempest, "init", workspace], env=variables, check=True, capture_output=True)
    (workspace / "etc" / "tempest.conf").write_text(configuration(cloud))
    stream = cloud.folder / "tempest.subunit"
    command: list[str | Path] = [
        tempest,
        "run",
        "--regex",
        regex,
        "--concurrency",
        str(concurrency),
        "--subunit",
    ]
    with stream.open("wb") as output, (cloud.folder / "tempest.err").open("wb") as errors:
        subprocess.run(command, cwd=workspace, env=variables, stdout=output, stderr=errors, check=False)
    return stream


def run(folder: Path, *, regex: str, store: Store, concurrency: int = 2, complete: bool = False) -> Verdict:
    """Start a cloud, run the chosen tests, judge them."""
    with running_cloud(folder, settings_of(store)) as cloud, compute_service([HOST]) as compute:
        cloud.keystone.add_service("compute", "nova", compute)
        stream = run_tempest(cloud, regex, concurrency)
    return judge(read_outcomes("tempest", stream), read_list(LIST), complete=complete)


def main(words: Sequence[str]) -> int:
    """The command line; the exit status says whether the verdict is good."""
    return command_line(words, __doc__ or "", EVERYTHING, selection(), run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
