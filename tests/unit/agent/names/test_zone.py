"""Names of the VPC: who sees which, what there is not, and whom else to ask."""

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.agent.names.zone import Elsewhere, encode, parse_question, respond
from alcor.goalstate.router_item import InterfaceAddress, RouterInterface, RouterItem
from alcor.pipeline.view import NetworkView, View
from tests.support.agent import A_REGION, local_port, neighbour, network, subnet

PORT = local_port(1)


def a_view(**region: str) -> View:
    """Port 1 on `net` (vpc.example) with web, db and a nameless port; `far` behind a router; `alien` behind none."""
    view = View(region=msgspec.structs.replace(A_REGION, **region))
    for id, domain, cidr in (
        ("net", "vpc.example.", "10.0.0.0/16"),
        ("far", "far.example.", "10.7.0.0/24"),
        ("alien", "vpc.example.", "10.0.0.0/16"),
    ):
        found = NetworkView(network(id, dns_domain=domain))
        found.subnets["subnet"] = subnet(network_id=id, cidr=cidr)
        found.subnets["six"] = subnet("six", network_id=id, cidr=f"fd00:{len(view.networks)}::/64")
        view.networks[id] = found
    own, far, alien = view.networks.values()
    own.neighbours["web"] = neighbour(2, dns_name="web", ips=("10.0.0.2", "fd00::2"))
    own.neighbours["db"] = neighbour(3, dns_name="db", ips=("10.0.0.3",))
    own.neighbours["plain"] = neighbour(4, ips=("10.0.0.4", "fd00::4"))
    far.neighbours["api"] = neighbour(5, dns_name="api", ips=("10.7.0.5",))
    alien.neighbours["spy"] = neighbour(6, dns_name="spy", ips=("10.0.0.6",))
    interfaces = tuple(
        RouterInterface(id, id, "02:00:00:00:00:09", (InterfaceAddress("10.0.0.1", "10.0.0.0/16", "s"),))
        for id in ("net", "far")
    )
    view.routers["r"] = RouterItem(id="r", admin_state_up=True, interfaces=interfaces)
    return view


def ask(name: str, kind: str = "A", view: View | None = None) -> dns.message.Message | Elsewhere:
    return respond(dns.message.make_query(name, kind), PORT, view or a_view())


def told(name: str, kind: str = "A", view: View | None = None) -> tuple[str, list[str]]:
    """The code and the records of an answer; `forward` if somebody else is to be asked."""
    answer = ask(name, kind, view)
    if isinstance(answer, Elsewhere):
        return answer.value, []
    assert answer.flags & dns.flags.QR
    return dns.rcode.to_text(answer.rcode()), [str(rdata) for rrset in answer.answer for rdata in rrset]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.vpc.example.", "A", ("NOERROR", ["10.0.0.2"])),
        ("WEB.Vpc.Example.", "A", ("NOERROR", ["10.0.0.2"])),
        ("web.vpc.example.", "AAAA", ("NOERROR", ["fd00::2"])),
        ("web.vpc.example.", "ANY", ("NOERROR", ["10.0.0.2"])),
        ("db.vpc.example.", "AAAA", ("NOERROR", [])),
        ("web.vpc.example.", "MX", ("NOERROR", [])),
        ("vpc.example.", "A", ("NOERROR", [])),
        ("nobody.vpc.example.", "A", ("NXDOMAIN", [])),
        ("www.web.vpc.example.", "A", ("NXDOMAIN", [])),
        ("api.far.example.", "A", ("NOERROR", ["10.7.0.5"])),
        ("web.far.example.", "A", ("NXDOMAIN", [])),
        ("spy.vpc.example.", "A", ("NXDOMAIN", [])),
        ("www.example.org.", "A", ("forward", [])),
        ("example.", "A", ("forward", [])),
        ("host-10-0-0-4.vpc.example.", "A", ("NOERROR", ["10.0.0.4"])),
        ("host-fd00--4.vpc.example.", "AAAA", ("NOERROR", ["fd00::4"])),
        ("host-10-0-0-99.vpc.example.", "A", ("NXDOMAIN", [])),
        ("host-10-0-0-6.vpc.example.", "A", ("NXDOMAIN", ["10.0.0.6"][:0])),
        ("2.0.0.10.in-addr.arpa.", "PTR", ("NOERROR", ["web.vpc.example."])),
        ("4.0.0.10.in-addr.arpa.", "PTR", ("NOERROR", ["host-10-0-0-4.vpc.example."])),
        ("5.0.7.10.in-addr.arpa.", "PTR", ("NOERROR", ["api.far.example."])),
        ("77.0.0.10.in-addr.arpa.", "PTR", ("NXDOMAIN", [])),
        ("2.0.0.10.in-addr.arpa.", "A", ("NOERROR", [])),
        ("1.2.0.192.in-addr.arpa.", "PTR", ("forward", [])),
        ("10.in-addr.arpa.", "PTR", ("forward", [])),
        ("2" + ".0" * 27 + ".0.0.d.f.ip6.arpa.", "PTR", ("NOERROR", ["web.vpc.example."])),
    ],
)
def test_names_of_the_vpc(name: str, kind: str, expected: tuple[str, list[str]]) -> None:
    """Own and routed networks' names and addresses are answered; other networks' are not there; the rest is others'."""
    assert told(name, kind) == expected


def test_an_answer_is_authoritative_and_short_lived() -> None:
    """A moved VM is found within half a minute."""
    answer = ask("web.vpc.example.")

    assert isinstance(answer, dns.message.Message)
    assert answer.flags & dns.flags.AA
    assert answer.flags & dns.flags.RA
    assert answer.answer[0].ttl == 30


@pytest.mark.parametrize("name", ["nobody.vpc.example.", "db.vpc.example."])
def test_no_such_thing_names_how_long_it_may_be_believed(name: str) -> None:
    """A negative answer has the zone's SOA in its authority section. Source: RFC 2308, section 3."""
    answer = ask(name, "AAAA")

    assert isinstance(answer, dns.message.Message)
    (soa,) = answer.authority
    assert (soa.name.to_text(), soa.ttl, soa[0].minimum) == ("vpc.example.", 30, 30)


def test_the_zone_has_a_soa() -> None:
    """Asked for, it is the answer."""
    assert told("vpc.example.", "SOA") == (
        "NOERROR",
        ["vpc.example. hostmaster.vpc.example. 1 3600 600 86400 30"],
    )


def test_a_network_without_domain_is_in_the_regions() -> None:
    """The region's domain holds its names, and those made of addresses of every network."""
    view = a_view(dns_domain="region.example")
    own = view.networks["net"]
    own.network = msgspec.structs.replace(own.network, dns_domain="")

    assert told("web.region.example.", view=view) == ("NOERROR", ["10.0.0.2"])
    assert told("host-10-7-0-5.region.example.", view=view) == ("NOERROR", ["10.7.0.5"])
    assert told("4.0.0.10.in-addr.arpa.", "PTR", view) == ("NOERROR", ["host-10-0-0-4.region.example."])


def test_without_any_domain_all_names_are_others() -> None:
    """The service still knows that the addresses are ours, and that they have no name."""
    view = a_view()
    for each in view.networks.values():
        each.network = msgspec.structs.replace(each.network, dns_domain="")

    assert told("web.vpc.example.", view=view) == ("forward", [])
    assert told("2.0.0.10.in-addr.arpa.", "PTR", view) == ("NXDOMAIN", [])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda message: message.set_opcode(2), "NOTIMP"),
        (lambda message: message.question.clear(), "FORMERR"),
        (lambda message: message.question.append(message.question[0]), "FORMERR"),
    ],
    ids=["status", "no question", "two questions"],
)
def test_what_is_no_plain_question_is_refused(change: object, code: str) -> None:
    """One question, of the standard kind."""
    message = dns.message.make_query("web.vpc.example.", "A")
    change(message)  # type: ignore[operator]  # one of the functions above

    answer = respond(message, PORT, a_view())

    assert isinstance(answer, dns.message.Message)
    assert dns.rcode.to_text(answer.rcode()) == code


def test_another_class_is_refused() -> None:
    """Nobody is told what software this is."""
    answer = respond(dns.message.make_query("version.bind.", "TXT", "CH"), PORT, a_view())

    assert isinstance(answer, dns.message.Message)
    assert dns.rcode.to_text(answer.rcode()) == "REFUSED"


@pytest.mark.parametrize(
    ("payload", "over_tcp", "bytes_max", "cut"),
    [
        (None, False, 512, True),
        (1000, False, 1000, True),
        (4096, False, 1232, True),
        (None, True, 65_535, False),
    ],
)
def test_a_long_answer_is_cut_for_udp_only(
    payload: int | None, over_tcp: bool, bytes_max: int, cut: bool
) -> None:
    """The asker's size counts, up to what no path fragments; the cut answer says that there is more."""
    view = a_view()
    many = tuple(f"10.0.{n >> 8}.{n & 255}" for n in range(300))
    view.networks["net"].neighbours["web"] = neighbour(2, dns_name="web", ips=many)
    message = dns.message.make_query(
        "web.vpc.example.", "A", use_edns=payload is not None, payload=payload or 0
    )
    answer = respond(message, PORT, view)
    assert isinstance(answer, dns.message.Message)

    octets = encode(answer, message, over_tcp=over_tcp)

    assert len(octets) <= bytes_max
    assert bool(dns.message.from_wire(octets).flags & dns.flags.TC) == cut
    assert over_tcp == (len(octets) > 4096)


@given(st.binary(max_size=600))
def test_whatever_is_sent_nothing_breaks(octets: bytes) -> None:
    """Octets that are no question get no answer; those that are get one that can be sent."""
    message = parse_question(octets)

    if message is not None:
        answer = respond(message, PORT, a_view())
        if isinstance(answer, dns.message.Message):
            assert len(encode(answer, message, over_tcp=False)) <= 1232


_LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=4)


@given(_LABELS, st.sampled_from(("vpc.example.", "in-addr.arpa.", "ip6.arpa.", "0.0.10.in-addr.arpa.", ".")))
def test_whatever_name_is_asked_for_nothing_breaks(labels: list[bytes], under: str) -> None:
    """Labels may hold any octet."""
    parent = dns.name.from_text(under).labels
    try:
        name = dns.name.Name((*labels, *parent))
    except dns.name.NameTooLong:
        return
    message = dns.message.make_query(name, "A")

    answer = respond(message, PORT, a_view())

    if isinstance(answer, dns.message.Message):
        assert encode(answer, message, over_tcp=False)
