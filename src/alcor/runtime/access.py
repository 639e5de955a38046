"""Wiring of who may do what: the policy with the operator's file, and whose tokens the API takes."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from alcor.api.app import policy_of
from alcor.api.auth import TokenAuthenticator
from alcor.api.needs import Authenticator
from alcor.api.policy import Policy, PolicyError, load_overrides
from alcor.managers.registry import managers
from alcor.runtime.config import Keystone, PolicyFile, RegionConfig
from alcor.runtime.settings import ConfigurationError
from alcor.runtime.tls import client_contexts
from alcor.store.interface import Store
from alcor.telemetry.log import get_log

log = get_log("runtime")


def load_policy(settings: PolicyFile) -> tuple[Policy, Mapping[str, str]]:
    """Every rule, compiled, and the texts of the operator's file.

    Raises: ConfigurationError, naming file, rule and reason.
    """
    if not settings.file:
        return policy_of(managers()), {}
    path = Path(settings.file).expanduser()
    try:
        overrides = load_overrides(path)
        policy = policy_of(managers(), overrides)
    except PolicyError as error:
        raise ConfigurationError(f"policy.file = '{path}': {error}") from error
    if policy.unused:
        # A typing error protects nothing; a rule of a service that is not ours is no error.
        log.warning("policy_rules_unused", file=str(path), rules=sorted(policy.unused))
    return policy, overrides


@contextlib.asynccontextmanager
async def authenticator(config: RegionConfig, store: Store, policy: Policy) -> AsyncIterator[Authenticator]:
    """Keystone's tokens if `keystone.auth_url` says where it is, else the region's own.

    Raises: ConfigurationError. Keystone itself may be down at the start: requests are answered with 503 meanwhile.
    """
    if not config.keystone.auth_url:
        yield TokenAuthenticator(store)
        return
    # Not at the top: a region with its own tokens need not wait for the import of an HTTP client.
    from alcor.api.keystone import KeystoneAccount, KeystoneAuthenticator, connect

    settings = config.keystone
    if not settings.auth_url.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"keystone.auth_url = '{settings.auth_url}': write http:// or https:// and a host"
        )
    if not settings.username:
        raise ConfigurationError("keystone.username: it is missing; Keystone answers only who logs in")
    account = KeystoneAccount(
        auth_url=settings.auth_url,
        username=settings.username,
        password=keystone_password(settings),
        project_name=settings.project_name,
        user_domain_name=settings.user_domain_name,
        project_domain_name=settings.project_domain_name,
        region_name=settings.region_name,
        cache_s=settings.cache_s,
        service_token_roles=frozenset(role.lower() for role in settings.service_token_roles),
    )
    contexts = client_contexts(f"keystone.ca_file = '{settings.ca_file}'", settings.ca_file)
    client = connect(contexts, settings.timeout_s)
    service = KeystoneAuthenticator(account, client, policy)
    try:
        yield service
    finally:
        await service.close()


def keystone_password(settings: Keystone) -> str:
    """Our password, from where the configuration says. Raises: ConfigurationError."""
    if bool(settings.password) == bool(settings.password_file):
        raise ConfigurationError("keystone: write one of password and password_file")
    if settings.password:
        return settings.password
    try:
        return Path(settings.password_file).expanduser().read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"keystone.password_file = '{settings.password_file}': {error.strerror}"
        ) from error
