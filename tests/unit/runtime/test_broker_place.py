"""What the configuration says of the broker."""

from pathlib import Path

import pytest

from alcor.bus.codec import ProtobufCodec
from alcor.runtime.broker import broker_place, sending
from alcor.runtime.config import Bus, RegionConfig
from alcor.runtime.settings import ConfigurationError


def of(**bus: object) -> RegionConfig:
    return RegionConfig(bus=Bus(**bus))  # type: ignore[arg-type]  # by field name


def test_without_servers_there_is_no_broker() -> None:
    """Off is the default."""
    assert broker_place(RegionConfig()) is None


def test_three_servers_keep_three_copies() -> None:
    """Replicas follow the servers unless they are said."""
    one, three = ("nats://a:4222",), ("nats://a:4222", "nats://b:4222", "nats://c:4222")

    places = [broker_place(of(broker=one)), broker_place(of(broker=three))]
    places.append(broker_place(of(broker=three, broker_replicas=1)))

    assert [place.replicas for place in places if place is not None] == [1, 3, 1]


def test_a_server_of_another_kind_is_refused_without_its_password() -> None:
    """The sentence says what to write, and nothing of what may be secret."""
    with pytest.raises(ConfigurationError, match=r"write nats://host:port") as refused:
        broker_place(of(broker=("amqp://user:secret@host",)))
    assert "secret" not in str(refused.value)


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is a sentence that names the options."""
    with pytest.raises(ConfigurationError, match="broker_ca_file"):
        broker_place(of(broker=("tls://a:4222",), broker_ca_file=str(tmp_path / "none.pem")))


async def test_thresholds_that_cross_are_refused() -> None:
    """As above."""
    config = of(broker=("nats://a:4222",), normal_from=2, fast_below=3)
    place = broker_place(config)
    assert place is not None
    with pytest.raises(ConfigurationError, match=r"bus\.normal_from, bus\.fast_below"):
        sending(config, place, ProtobufCodec())
