"""What the sections [keystone] and [policy] may say, and what they give."""

from pathlib import Path

import pytest

from alcor.api.auth import TokenAuthenticator
from alcor.api.keystone import KeystoneAuthenticator
from alcor.api.policy import Policy
from alcor.managers.interface import Caller
from alcor.runtime.access import authenticator, load_policy
from alcor.runtime.config import Keystone, PolicyFile, RegionConfig
from alcor.runtime.settings import ConfigurationError, load
from tests.support.store import sqlite_store

STRANGER = Caller("p-1", False, roles=frozenset({"friend"}))
URL = "http://keystone.test:5000"


async def opened(folder: Path, keystone: Keystone) -> type:
    """The class of the authenticator that a configuration gives, opened and closed."""
    async with sqlite_store(folder) as store:
        config = RegionConfig(keystone=keystone)
        async with authenticator(config, store, Policy.of({})) as found:
            return type(found)


async def test_without_a_url_the_regions_own_tokens_are_used(tmp_path: Path) -> None:
    """Nothing said: embedded tokens."""
    assert await opened(tmp_path, Keystone()) is TokenAuthenticator


async def test_with_a_url_keystones_tokens_are_used(tmp_path: Path) -> None:
    """`auth_url` chooses Keystone; it need not answer at the start. The password may be in a file."""
    (tmp_path / "secret").write_text("correct horse\n")
    by_file = Keystone(auth_url=URL, username="alcor", password_file=str(tmp_path / "secret"))

    assert await opened(tmp_path, by_file) is KeystoneAuthenticator
    assert (
        await opened(tmp_path, Keystone(auth_url=URL, username="alcor", password="x"))
        is KeystoneAuthenticator
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Keystone(auth_url="keystone:5000"), "keystone.auth_url = 'keystone:5000': write http"),
        (Keystone(auth_url=URL), "keystone.username: it is missing"),
        (Keystone(auth_url=URL, username="a"), "write one of password and password_file"),
        (
            Keystone(auth_url=URL, username="a", password="x", password_file="y"),
            "write one of password and password_file",
        ),
        (
            Keystone(auth_url=URL, username="a", password_file="/nowhere/x"),
            "keystone.password_file = '/nowhere/x': No such file",
        ),
        (
            Keystone(auth_url=URL, username="a", password="x", ca_file="/nowhere/ca"),
            "keystone.ca_file = '/nowhere/ca': ",
        ),
        (
            Keystone(auth_url=URL, username="a", password="x", ca_file=__file__),
            f"keystone.ca_file = '{__file__}': ",
        ),
    ],
)
async def test_what_cannot_work_stops_the_start(tmp_path: Path, settings: Keystone, reason: str) -> None:
    """The sentence names the setting and the reason."""
    with pytest.raises(ConfigurationError) as error:
        await opened(tmp_path, settings)

    assert reason in str(error.value)


def test_the_sections_are_read_from_file_and_environment(tmp_path: Path) -> None:
    """As every other setting; a list of roles is separated by commas."""
    path = tmp_path / "alcor.toml"
    path.write_text('[keystone]\nauth_url = "https://k"\n[policy]\nfile = "/etc/alcor/policy.yaml"\n')
    environ = {"ALCOR_KEYSTONE__SERVICE_TOKEN_ROLES": "service, nova", "ALCOR_KEYSTONE__CACHE_S": "5"}

    config = load(RegionConfig, file=path, environ=environ, flags={})

    assert config.keystone.auth_url == "https://k"
    assert config.keystone.service_token_roles == ("service", "nova")
    assert config.keystone.cache_s == 5.0
    assert config.policy.file == "/etc/alcor/policy.yaml"


def test_an_operators_rules_replace_the_defaults(tmp_path: Path) -> None:
    """The policy is the defaults with the file's rules; without a file it is the defaults."""
    path = tmp_path / "policy.yaml"
    path.write_text('"get_host": "role:friend"\n')

    policy, overrides = load_policy(PolicyFile(file=str(path)))
    usual, nothing = load_policy(PolicyFile())

    assert policy.allows("get_host", STRANGER, {})
    assert not policy.allows("delete_host", STRANGER, {})
    assert not usual.allows("get_host", STRANGER, {})
    assert (overrides, nothing) == ({"get_host": "role:friend"}, {})


@pytest.mark.parametrize("text", ["get_host: role:a role:b", "get_host: rule:nothing", "["])
def test_rules_that_cannot_be_used_stop_the_start(tmp_path: Path, text: str) -> None:
    """The sentence names the setting, the file and the reason."""
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=f"policy.file = '{path}': "):
        load_policy(PolicyFile(file=str(path)))
