"""The Virtual MAC Manager: ranges and addresses."""

import pytest

from alcor.managers.mac.allocation import DEFAULT_RANGE_ID, RESERVED, space_of
from alcor.model.address import Mac, mac_int, parse_mac
from alcor.model.errors import Conflict, Exhausted, InUse, InvalidInput, Problem
from alcor.model.mac_range import MacRange
from alcor.model.network import Network
from tests.support.managers import Desk


@pytest.fixture
async def network(desk: Desk) -> Network:
    found: Network = await desk.create("network")
    return found


async def test_the_first_address_brings_the_default_range(desk: Desk, network: Network) -> None:
    """A region without ranges makes one of locally administered addresses, once."""
    taken = await desk.create_many("mac", [{"network_id": network.id} for _ in range(3)])

    [made] = await desk.store.reader.list(MacRange)
    assert (made.id, made.name, made.first, made.last) == (
        DEFAULT_RANGE_ID,
        "default",
        "06:a1:c0:00:00:00",
        "06:a1:c0:ff:ff:ff",
    )
    assert all(made.first <= row.mac_address <= made.last for row in taken)
    assert len({row.mac_address for row in taken}) == 3
    assert int(made.first[:2], 16) & 3 == 2


async def test_addresses_come_from_enabled_ranges_only(desk: Desk, network: Network) -> None:
    """A range that is disabled keeps what it gave and gives no more."""
    first, second = await desk.create_many(
        "mac_range",
        [
            {"first": "0a:00:00:00:00:00", "last": "0a:00:00:00:00:0f"},
            {"first": "0e:00:00:00:00:00", "last": "0e:00:00:00:00:01"},
        ],
    )
    await desk.update(first, enabled=False)

    taken = await desk.create_many("mac", [{"network_id": network.id} for _ in range(2)])

    assert {row.mac_address for row in taken} == {"0e:00:00:00:00:00", "0e:00:00:00:00:01"}
    with pytest.raises(Exhausted, match=network.id):
        await desk.create("mac", network_id=network.id)
    await desk.update(first, enabled=True)
    assert (await desk.create("mac", network_id=network.id)).mac_address.startswith("0a:")
    assert second.enabled


async def test_networks_do_not_share_a_pool(desk: Desk, network: Network) -> None:
    """An address is unique in its network; another network may have the same."""
    await desk.create("mac_range", first="0a:00:00:00:00:00", last="0a:00:00:00:00:00")
    other = await desk.create("network")

    one = await desk.create("mac", network_id=network.id)
    two = await desk.create("mac", network_id=other.id)

    assert one.mac_address == two.mac_address == "0a:00:00:00:00:00"


async def test_a_range_is_given_whole_and_released_addresses_last(desk: Desk, network: Network) -> None:
    """Every address of a range once; what was released rests while another is free."""
    await desk.create("mac_range", first="0a:00:00:00:00:00", last="0a:00:00:00:00:07")
    taken = await desk.create_many("mac", [{"network_id": network.id} for _ in range(7)])
    await desk.delete(taken[0])

    again = [(await desk.create("mac", network_id=network.id)).mac_address for _ in range(2)]

    assert again[1] == taken[0].mac_address
    assert {*(row.mac_address for row in taken), again[0]} == {f"0a:00:00:00:00:0{n}" for n in range(8)}


async def test_a_given_address_is_taken_as_it_is(desk: Desk, network: Network) -> None:
    """It may lie outside of all ranges."""
    row = await desk.create("mac", network_id=network.id, mac_address="52:54:00:00:00:01", name="appliance")

    assert (row.mac_address, row.name) == ("52:54:00:00:00:01", "appliance")
    assert await desk.owners(space_of(network.id), [row.mac_address]) == {row.mac_address: row.id}
    assert (await desk.update(row, name="other")).name == "other"


async def test_a_duplicate_is_refused_naming_address_and_network(desk: Desk, network: Network) -> None:
    """On the same network, whoever has it."""
    port = await desk.create("port", network_id=network.id)

    with pytest.raises(InUse) as refused:
        await desk.create("mac", network_id=network.id, mac_address=port.mac_address)

    assert refused.value.problem is Problem.MAC_TAKEN
    assert port.mac_address in refused.value.message
    assert network.id in refused.value.message


async def test_reserved_addresses_are_never_given(desk: Desk, network: Network) -> None:
    """The address hosts answer DHCP from is refused, and passed over by automatic choice."""
    [reserved] = RESERVED
    last = Mac("02:a1:c0:00:00:02")
    await desk.create("mac_range", first=reserved, last=last)

    assert (await desk.create("mac", network_id=network.id)).mac_address == last
    with pytest.raises(Exhausted):
        await desk.create("mac", network_id=network.id)
    with pytest.raises(InvalidInput, match="reserved"):
        await desk.create("port", network_id=network.id, mac_address=reserved)


@pytest.mark.parametrize("text", ["01:00:5e:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"])
def test_group_addresses_and_zero_are_no_addresses_of_ports(text: str) -> None:
    """They do not even parse, so that no range begins or ends with one."""
    with pytest.raises(ValueError, match="not a unicast"):
        parse_mac(text)


@pytest.mark.parametrize(
    ("first", "last", "reason"),
    [
        ("0a:00:00:00:00:02", "0a:00:00:00:00:01", "ends"),
        ("0a:00:00:00:00:00", "0c:00:00:00:00:00", "spans multicast"),
    ],
)
async def test_bounds_of_a_range(desk: Desk, first: str, last: str, reason: str) -> None:
    """In order, and without the group addresses that lie between two first octets."""
    with pytest.raises(InvalidInput, match=reason):
        await desk.create("mac_range", first=first, last=last)


async def test_ranges_do_not_overlap(desk: Desk) -> None:
    """Neither with a stored range nor inside a bulk."""
    stored = await desk.create("mac_range", first="0a:00:00:00:00:00", last="0a:00:00:00:00:ff")

    with pytest.raises(Conflict, match=stored.id):
        await desk.create("mac_range", first="0a:00:00:00:00:ff", last="0a:00:00:00:01:00")
    one = {"first": "0e:00:00:00:00:00", "last": "0e:00:00:00:00:ff"}
    with pytest.raises(Conflict):
        await desk.create_many("mac_range", [one, one])
    assert await desk.store.reader.list(MacRange) == [stored]


async def test_a_deleted_range_leaves_what_it_gave(desk: Desk, network: Network) -> None:
    """Its addresses stay with their owners; a region without ranges goes back to the default one."""
    made = await desk.create("mac_range", first="0a:00:00:00:00:00", last="0a:00:00:00:00:ff")
    row = await desk.create("mac", network_id=network.id)
    await desk.delete(made)

    assert await desk.owners(space_of(network.id), [row.mac_address]) == {row.mac_address: row.id}
    default = (await desk.create("mac", network_id=network.id)).mac_address
    assert mac_int(Mac("06:a1:c0:00:00:00")) <= mac_int(default) <= mac_int(Mac("06:a1:c0:ff:ff:ff"))
