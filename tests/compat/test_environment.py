"""The outside world of the compatibility tests is real and complete before anything is measured with it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alcor.lab.command import LabError
from alcor.lab.ledger import Ledger
from tests.compat.environment import program
from tests.compat.keystone import ADMIN_PASSWORD, SERVICE_PASSWORD, Keystone

pytestmark = pytest.mark.compat
OPENSTACK = Path(sys.executable).with_name("openstack")


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    """A Keystone for the tests of this file."""
    folder = tmp_path_factory.mktemp("keystone")
    ledger = Ledger(folder)
    keystone = Keystone(folder / "keystone", ledger)
    try:
        keystone.start()
        yield keystone
    finally:
        keystone.close()
        ledger.sweep()


def test_keystone_issues_tokens_to_the_unmodified_client(keystone: Keystone) -> None:
    """`openstack token issue` gets a token from our Keystone with nothing but its URL and a password."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    variables = kept | {
        "OS_AUTH_URL": keystone.url,
        "OS_USERNAME": "admin",
        "OS_PASSWORD": ADMIN_PASSWORD,
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
    }

    done = subprocess.run(
        [OPENSTACK, "token", "issue", "-f", "value", "-c", "id"],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("gAAAA")


def test_the_service_role_is_enough_to_validate_tokens(keystone: Keystone) -> None:
    """A service user with the role `service` may ask whose a token is; a plain member may not."""
    project = keystone.create_project("service")
    for name, role in (("alcor", "service"), ("stranger", "member")):
        keystone.grant(keystone.create_user(name, SERVICE_PASSWORD), project, role)
    admin = keystone.token("admin", ADMIN_PASSWORD, "admin")

    assert keystone.whose(admin, keystone.token("alcor", SERVICE_PASSWORD, "service")) == "admin"
    with pytest.raises(LabError, match="403"):
        keystone.whose(admin, keystone.token("stranger", SERVICE_PASSWORD, "service"))


def test_tempest_finds_its_networking_tests() -> None:
    """The installed Tempest brings the networking tests that the suites are chosen from."""
    listing = subprocess.run(
        [
            program("tempest", "python"),
            "-c",
            "import pathlib, tempest.api.network as n;"
            "print(*(p.stem for p in pathlib.Path(n.__path__[0]).rglob('test_*.py')))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert {"test_networks", "test_ports", "test_routers", "test_floating_ips"} <= set(listing.stdout.split())
