"""Extra DHCP options: names and texts to octets, and what cannot be said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.agent.answer.dhcp_option import SERVER_ADDRESS, Encoded, encode, encode_name
from alcor.goalstate.item import DhcpOption


def one(name: str, value: str, ip_version: int = 4, tags: frozenset[str] = frozenset()) -> Encoded:
    return encode((DhcpOption(ip_version, name, value),), ip_version, tags)


@pytest.mark.parametrize(
    ("name", "value", "number", "octets"),
    [
        ("dns-server", "192.0.2.1,192.0.2.2", 6, "c0000201c0000202"),
        ("option:ntp-server", "192.0.2.1", 42, "c0000201"),
        ("42", "192.0.2.1", 42, "c0000201"),
        ("mtu", "9000", 26, "2328"),
        ("default-ttl", "64", 23, "40"),
        ("arp-timeout", "70000", 35, "00011170"),
        ("time-offset", "-3600", 2, "fffff1f0"),
        ("ip-forward-enable", "1", 19, "01"),
        ("bootfile-name", "pxelinux.0", 67, b"pxelinux.0".hex()),
        ("tftp-server", "10.0.0.9", 66, b"10.0.0.9".hex()),
        ("tftp-server-address", "10.0.0.9", 150, "0a000009"),
        ("server-ip-address", "10.0.0.9", SERVER_ADDRESS, "0a000009"),
        ("static-route", "10.9.0.1,10.0.0.1", 33, "0a0900010a000001"),
        ("sip-server", "192.0.2.1", 120, "01c0000201"),
        ("sip-server", "sip.example", 120, "0003736970076578616d706c6500"),
        ("vendor-encap", "01:04:0a:00:00:01", 43, "01040a000001"),
        ("router", "", 3, ""),
        ("classless-static-route", "", 121, ""),
        ("222", "192.0.2.1,192.0.2.9", 222, "c0000201c0000209"),
        ("222", "01:ab:FF", 222, "01abff"),
        ("222", "7", 222, "07"),
        ("222", "700", 222, "02bc"),
        ("222", "70000", 222, "00011170"),
        ("222", "words", 222, b"words".hex()),
    ],
)
def test_an_ipv4_option_has_its_own_layout(name: str, value: str, number: int, octets: str) -> None:
    """Names, numbers and prefixes lead to the option's layout; an unknown number to what its value looks like."""
    assert one(name, value) == Encoded({number: bytes.fromhex(octets)})


def test_classless_routes_are_those_of_the_standard() -> None:
    """Only the significant octets of a destination are sent. Source: RFC 3442, the table of examples."""
    destinations = [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.0.0.0/24",
        "10.17.0.0/16",
        "10.27.129.0/24",
        "10.229.0.128/25",
    ]
    destinations.append("10.198.122.47/32")
    significant = ["00", "080a", "180a0000", "100a11", "180a1b81", "190ae50080", "200ac67a2f"]
    value = ",".join(f"{destination},192.0.2.1" for destination in destinations)

    found = one("classless-static-route", value)

    assert found.values[121] == bytes.fromhex("".join(each + "c0000201" for each in significant))


def test_search_lists_are_names_in_labels() -> None:
    """Source: RFC 3397, section 3 (the names of its example, not compressed)."""
    found = one("domain-search", "eng.apple.com,marketing.apple.com.")

    labels = b"\3eng\5apple\3com\0\x09marketing\5apple\3com\0"
    assert found == Encoded({119: labels})


@pytest.mark.parametrize(
    ("name", "value", "number", "octets"),
    [
        (
            "dns-server",
            "2001:db8::1,[2001:db8::2]",
            23,
            "20010db8" + "0" * 23 + "1" + "20010db8" + "0" * 23 + "2",
        ),
        ("option6:sntp-server", "2001:db8::1", 31, "20010db8" + "0" * 23 + "1"),
        ("domain-search", "example", 24, "076578616d706c6500"),
        ("bootfile-url", "tftp://[::1]/x", 59, b"tftp://[::1]/x".hex()),
        ("bootfile-param", "a,bc", 60, "0001610002" + b"bc".hex()),
        ("ntp-server", "2001:db8::1", 56, "00010010" + "20010db8" + "0" * 23 + "1"),
        ("ntp-server", "ff05::101", 56, "00020010" + "ff05" + "0" * 24 + "0101"),
        ("ntp-server", "ntp.example", 56, "0003000d" + "036e7470076578616d706c6500"),
        ("information-refresh-time", "600", 32, "00000258"),
        ("1000", "2", 1000, "02"),
    ],
)
def test_an_ipv6_option_has_its_own_layout(name: str, value: str, number: int, octets: str) -> None:
    """DHCPv6 has numbers and layouts of its own."""
    assert one(name, value, 6) == Encoded({number: bytes.fromhex(octets)})


@pytest.mark.parametrize(
    ("name", "value", "ip_version"),
    [
        ("dns-server", "not an address", 4),
        ("dns-server", "2001:db8::1", 4),
        ("dns-server", "192.0.2.1", 6),
        ("mtu", "70000", 4),
        ("mtu", "many", 4),
        ("default-ttl", "-1", 4),
        ("ip-forward-enable", "maybe", 4),
        ("static-route", "10.0.0.1", 4),
        ("classless-static-route", "10.0.0.1/8,10.0.0.1", 4),
        ("server-ip-address", "10.0.0.1,10.0.0.2", 4),
        ("domain-search", "a..b", 4),
        ("domain-search", "x" * 64, 4),
        ("no-such-option", "1", 4),
        ("0", "1", 4),
        ("53", "1", 4),
        ("54", "10.0.0.9", 4),
        ("255", "1", 4),
        ("3", "1", 6),
        ("70000", "1", 6),
        ("mtu", "", 4),
        ("tag:x", "1", 4),
    ],
)
def test_what_cannot_be_said_is_skipped_and_named(name: str, value: str, ip_version: int) -> None:
    """A value without sense, an unknown name or one of the protocol's own options does not stop the others."""
    good = DhcpOption(ip_version, "tzdb-timezone", "Europe/Berlin")

    found = encode((DhcpOption(ip_version, name, value), good), ip_version)

    assert (list(found.values.values()), found.skipped) == ([b"Europe/Berlin"], (name,))


def test_options_of_the_other_version_are_not_told() -> None:
    """Each server tells its own."""
    options = (DhcpOption(4, "tzdb-timezone", "four"), DhcpOption(6, "tzdb-timezone", "six"))

    assert encode(options, 4).values == {101: b"four"}
    assert encode(options, 6).values == {42: b"six"}


@pytest.mark.parametrize(("tags", "file"), [((), b"undionly.kpxe"), (("ipxe",), b"http://boot/ipxe")])
def test_tags_choose_by_client(tags: tuple[str, ...], file: bytes) -> None:
    """`tag:x` is for clients with the tag, `tag:!x` for those without: the way from PXE to iPXE."""
    options = (
        DhcpOption(4, "tag:!ipxe,67", "undionly.kpxe"),
        DhcpOption(4, "tag:ipxe,67", "http://boot/ipxe"),
    )

    assert encode(options, 4, frozenset(tags)).values == {67: file}


def test_a_tagged_option_wins_over_an_untagged_one() -> None:
    """What is said of some clients is more exact than what is said of all."""
    options = (DhcpOption(4, "tag:ipxe,bootfile-name", "ipxe"), DhcpOption(4, "bootfile-name", "any"))

    assert encode(options, 4, frozenset({"ipxe"})).values == {67: b"ipxe"}
    assert encode(options, 4).values == {67: b"any"}


def test_a_name_longer_than_names_may_be_is_refused() -> None:
    """255 octets with all lengths. Source: RFC 1035, section 2.3.4."""
    longest = ".".join(["x" * 63] * 3 + ["x" * 61])

    assert len(encode_name(longest)) == 255
    with pytest.raises(ValueError, match="longer"):
        encode_name(longest + "x")


@given(st.text(max_size=64), st.text(max_size=255), st.sampled_from((4, 6)))
def test_whatever_is_written_nothing_breaks(name: str, value: str, ip_version: int) -> None:
    """Any name and value give one option or one skipped name, or concern another client."""
    found = one(name, value, ip_version)

    assert len(found.values) + len(found.skipped) == 1 or name.startswith("tag:")


@given(
    st.sampled_from(("dns-server", "mtu", "121", "119", "33", "222", "sip-server", "ntp-server")), st.text()
)
def test_whatever_value_a_known_option_has_nothing_breaks(name: str, value: str) -> None:
    """The same for options with a layout."""
    for ip_version in (4, 6):
        found = one(name, value, ip_version)

        assert len(found.values) + len(found.skipped) == 1
