"""Wiring of the normal path: the broker that `bus.broker` names, for the dataplane's end and for an ncm's."""

import importlib.util
import random
import secrets
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from alcor.bus.interface import ItemCodec
from alcor.bus.normal_client import NormalClient
from alcor.bus.normal_path import Choice, NormalPath
from alcor.runtime.config import Bus, RegionConfig
from alcor.runtime.settings import ConfigurationError
from alcor.runtime.tls import client_contexts

# Only a region with a broker needs its driver.
if TYPE_CHECKING:
    from alcor.bus.broker import BrokerPlace, BrokerSender

_SCHEMES = ("nats://", "tls://")


def broker_place(config: RegionConfig) -> "BrokerPlace | None":
    """Where the broker is; None if there is none. Raises: ConfigurationError."""
    bus = config.bus
    if not bus.broker:
        return None
    for server in bus.broker:
        if not server.startswith(_SCHEMES):
            # What it is may hold a password.
            raise ConfigurationError(
                f"bus.broker names a server that begins with '{server[:6]}': write nats://host:port or tls://host:port"
            )
    try:
        from alcor.bus.broker import BrokerPlace
    except ImportError as error:
        raise ConfigurationError(
            "bus.broker names NATS servers, but their driver is not installed: pip install 'alcor[region,nats]'"
        ) from error
    if bus.broker_credentials_file:
        _check_credentials(bus.broker_credentials_file)
    return BrokerPlace(
        servers=bus.broker,
        region=bus.broker_region,
        tls=_tls(bus),
        credentials=bus.broker_credentials_file,
        replicas=bus.broker_replicas or (3 if len(bus.broker) >= 3 else 1),
    )


def _check_credentials(file: str) -> None:
    if importlib.util.find_spec("nkeys") is None:
        raise ConfigurationError(
            "bus.broker_credentials_file names a NATS user, but what signs for one is not installed: pip install nkeys"
        )
    try:
        Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"bus.broker_credentials_file = '{file}': {error.strerror or error}"
        ) from error


def _tls(bus: Bus) -> Callable[[], ssl.SSLContext] | None:
    if not (
        bus.broker_ca_file
        or bus.broker_certificate_file
        or any(server.startswith("tls://") for server in bus.broker)
    ):
        return None
    named = "bus.broker_ca_file, bus.broker_certificate_file, bus.broker_key_file"
    return client_contexts(named, bus.broker_ca_file, bus.broker_certificate_file, bus.broker_key_file)


def sending(
    config: RegionConfig, place: "BrokerPlace", codec: ItemCodec
) -> "tuple[BrokerSender, NormalPath]":
    """A dataplane's end: what sends, to be run, and what divides turns. Raises: ConfigurationError."""
    from alcor.bus.broker import BrokerSender

    try:
        choice = Choice(config.bus.normal_from, config.bus.fast_below)
    except ValueError as error:
        raise ConfigurationError(f"bus.normal_from, bus.fast_below: {error}") from error
    sender = BrokerSender(place, random=random.random)
    # Nobody else's, and not that of another life: ncms tell frames apart by it.
    return sender, NormalPath(codec, sender, source=secrets.randbits(63) + 1, choice=choice)


def reading(place: "BrokerPlace | None") -> NormalClient | None:
    """An ncm's end, if there is a broker."""
    if place is None:
        return None
    from alcor.bus.broker import BrokerReader

    return NormalClient(BrokerReader(place, random=random.random), clock=time.monotonic, random=random.random)
