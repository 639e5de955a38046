"""Whether addresses in the configuration can be meant as they are written: gRPC guesses a port where none is named."""

from collections.abc import Sequence

from alcor.runtime.config import RegionConfig
from alcor.runtime.settings import ConfigurationError

_PORT_MAX = 65535


def check_addresses(config: RegionConfig) -> None:
    """Raises: ConfigurationError that names the first setting that holds no address."""
    bus, ncm = config.bus, config.ncm
    _check("bus.listen", bus.listen, sockets=True)
    _check("bus.dataplane", bus.dataplane, sockets=True)
    _check("bus.advertise", [bus.advertise] if bus.advertise else (), sockets=True)
    _check("ncm.listen", [ncm.listen])
    _check("ncm.public_addresses", ncm.public_addresses)


def _check(setting: str, addresses: Sequence[str], *, sockets: bool = False) -> None:
    for address in addresses:
        if sockets and address.startswith("unix:/"):
            continue
        host, _, port = address.rpartition(":")
        is_bracketed = host.startswith("[") and host.endswith("]")
        if (
            not host
            or address.startswith("unix:")
            or (":" in host and not is_bracketed)
            or not (port.isascii() and port.isdigit() and int(port) <= _PORT_MAX)
        ):
            others = ", [address]:port or unix:/path" if sockets else " or [address]:port"
            raise ConfigurationError(f"{setting} = '{address}': write address:port{others}")
