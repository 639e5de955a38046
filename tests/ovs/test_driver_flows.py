"""The Open vSwitch driver's flows and meters: what is sent is what is read back, and repairs are exact."""

import random
import secrets
from collections.abc import Iterable, Iterator

import pytest

from alcor.agent.driver import FlowDiff, SwitchError
from alcor.pipeline.flow import (
    Action,
    Clone,
    Controller,
    DecTtl,
    Field,
    Flow,
    FlowKey,
    Match,
    Meter,
    MeterSpec,
    Move,
    Output,
    OutputInPort,
    Pop,
    Push,
    Resubmit,
    SetField,
    match,
)
from alcor.pipeline.tables import COOKIE_OURS
from tests.support.ovs import OvsPair, a_connected_driver, a_namespace, an_ovs_pair

pytestmark = pytest.mark.ovs

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
NEIGHBOUR_SOLICITATION = {"eth_type": IPV6, "ip_proto": 58, "icmpv6_type": 135, "icmpv6_code": 0}
NEIGHBOUR_ADVERTISEMENT = {**NEIGHBOUR_SOLICITATION, "icmpv6_type": 136}
NEEDS = {
    "ARP_": {"eth_type": ARP},
    "IP_": {"eth_type": IPV4},
    "IPV4_": {"eth_type": IPV4},
    "IPV6_": {"eth_type": IPV6},
    "TCP_": {"eth_type": IPV4, "ip_proto": 6},
    "UDP_": {"eth_type": IPV6, "ip_proto": 17},
    "ICMPV4_": {"eth_type": IPV4, "ip_proto": 1},
    "ICMPV6_": {"eth_type": IPV6, "ip_proto": 58},
    "ND_TLL": NEIGHBOUR_ADVERTISEMENT,
    "ND_": NEIGHBOUR_SOLICITATION,
}
VALUES = {
    Field.IN_PORT: 7,
    Field.ETH_TYPE: 0x88B5,
    Field.IP_PROTO: 132,
    Field.VLAN_TCI: 0x1ABC,
    Field.ARP_OP: 2,
}
READ_ONLY = {Field.IN_PORT, Field.ETH_TYPE, Field.IP_PROTO}
EXACT_ONLY = {
    *(Field.IN_PORT, Field.ETH_TYPE, Field.IP_PROTO, Field.IP_TTL, Field.ARP_OP),
    *(Field.ICMPV4_TYPE, Field.ICMPV4_CODE, Field.ICMPV6_TYPE, Field.ICMPV6_CODE),
    *(Field.ND_RESERVED, Field.ND_OPTIONS_TYPE),
}


@pytest.fixture(scope="module")
def pair() -> Iterator[OvsPair]:
    """A running switch."""
    with a_namespace("tdf") as namespace, an_ovs_pair(namespace=namespace) as running:
        yield running


@pytest.fixture
def bridge(pair: OvsPair) -> Iterator[str]:
    """The name of a bridge nobody has yet; deleted at the end."""
    name = f"br{secrets.token_hex(4)}"
    yield name
    pair.vsctl("--if-exists", "del-br", name)


def needs(field: Field) -> dict[str, int]:
    """What a match must have before a field exists in the packet."""
    for prefix, terms in NEEDS.items():
        if field.name.startswith(prefix):
            return {name: value for name, value in terms.items() if name != field.name.lower()}
    return {}


def a_value(field: Field) -> int:
    """A value with a different byte in each place."""
    return VALUES.get(field, int.from_bytes(bytes(range(1, field.bits // 8 + 1)), "big"))


def matches_on(field: Field) -> Iterator[Match]:
    """All forms of one condition."""
    name, value, half = field.name.lower(), a_value(field), field.bits // 2
    terms = needs(field)
    yield match(**terms, **{name: value})
    if field not in EXACT_ONLY:
        yield match(**terms, **{name: 0})
        if field is Field.VLAN_TCI:
            for tci in ((0, 0x1000), (0x1000, 0x1000), (0x1ABC, 0x1FFF), (0xFABC, 0xFFFF), (0xB000, 0xF000)):
                yield match(**{name: tci})
        else:
            yield match(**terms, **{name: (value, (1 << half) - 1 << field.bits - half)})
            yield match(**terms, **{name: (value, (1 << half) - 1)})


def actions_on(field: Field) -> Iterator[tuple[Action, ...]]:
    """All actions on one field."""
    bits, value = field.bits, a_value(field)
    yield (Push(field), Pop(Field.XXREG0))
    yield (Move(field, Field.XXREG1, bits, 0, 128 - bits),)
    yield (Move(field, Field.REG5, 3, bits - 3, 11),)
    if field not in READ_ONLY:
        yield (SetField(field, value), SetField(field, 0))
        yield (Push(Field.REG0), Pop(field))
        yield (Move(Field.XXREG1, field, bits, 128 - bits),)
        if field is not Field.ARP_OP:
            yield (SetField(field, 0, 1), SetField(field, 2, 6))


def numbered(flows: Iterable[tuple[Match, tuple[Action, ...]]]) -> dict[FlowKey, Flow]:
    """Flows of ours in table 1 with priorities and cookies that tell them apart."""
    made = [Flow(1, 100 + n, m, actions, COOKIE_OURS | n) for n, (m, actions) in enumerate(flows)]
    return {flow.key: flow for flow in made}


async def test_every_field_and_action_is_read_back_as_it_was_sent(pair: OvsPair, bridge: str) -> None:
    """For every field matched, set, pushed, popped and moved, and for every action: compare finds nothing."""
    flows: list[tuple[Match, tuple[Action, ...]]] = [((), ()), ((), (Meter(3), Output(3)))]
    for field in Field:
        flows += [(condition, ()) for condition in matches_on(field)]
        flows += [(match(**needs(field)), actions) for actions in actions_on(field)]
    deep = Clone((SetField(Field.REG0, 5), Clone((Resubmit(9), Output(2))), Clone(())))
    plain = (Output(1), Output(0xFFFFFFFE), OutputInPort(), Resubmit(253), Controller(), deep, DecTtl())
    flows += [(match(eth_type=kind), (action,)) for action in plain for kind in (IPV4, IPV6)]
    flows.append((match(eth_type=IPV4), plain))
    desired = numbered(flows)
    meters = [MeterSpec(3, 100, 10)]

    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        await switch.apply(FlowDiff(put=list(desired.values()), meters=meters))
        diff = await switch.compare(desired, meters)

    assert diff == FlowDiff(put=[], remove=[], meters=[])


def a_random_flow(chance: random.Random) -> tuple[Match, tuple[Action, ...]]:
    """A match of several conditions on one kind of packet, and several actions that suit it."""
    kind = chance.choice(list(NEEDS.values()))
    anywhere = [field for field in Field if not needs(field) and field is not Field.ETH_TYPE]
    fitting = [
        f for f in Field if needs(f) and needs(f).items() <= kind.items() and f.name.lower() not in kind
    ]
    if kind == NEIGHBOUR_ADVERTISEMENT:
        fitting = [field for field in fitting if field is not Field.ND_SLL]
    conditions: dict[str, int | tuple[int, int]] = dict(kind)
    taken_registers: set[str] = set()
    for field in chance.sample(anywhere + fitting, chance.randint(1, 9)):
        if field.name in taken_registers:
            continue
        if field.name.startswith("XXREG"):
            first = int(field.name[5:]) * 4
            parts = {f"REG{number}" for number in range(first, first + 4)}
            if parts & {name.upper() for name in conditions}:
                continue
            taken_registers |= parts
        masked = field not in EXACT_ONLY and field is not Field.VLAN_TCI and chance.random() < 0.4
        value = (
            a_value(field)
            if field in EXACT_ONLY or field is Field.VLAN_TCI
            else chance.getrandbits(field.bits)
        )
        mask = chance.getrandbits(field.bits) | 1
        conditions[field.name.lower()] = (value, mask) if masked else value
    actions = [
        action
        for field in chance.sample(anywhere + fitting, 4)
        for action in chance.choice(list(actions_on(field)))
    ]
    return match(**conditions), tuple(actions)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_any_legal_combination_is_read_back_as_it_was_sent(
    pair: OvsPair, bridge: str, seed: int
) -> None:
    """Random matches of many terms and random lists of actions compare equal after a round trip."""
    chance = random.Random(seed)
    desired = numbered(a_random_flow(chance) for _ in range(1_000))

    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        await switch.apply(FlowDiff(put=list(desired.values())))
        diff = await switch.compare(desired, [])

    assert diff == FlowDiff(put=[], remove=[], meters=[])


def many_flows(count: int) -> dict[FlowKey, Flow]:
    """Flows as a large network has them."""
    return numbered(
        (
            match(metadata=5 + (n >> 8), eth_dst=0x0200_0000_0000 + n),
            (SetField(Field.TUN_ID, 9), SetField(Field.TUN_IPV4_DST, 0x0A000000 + (n & 63)), Output(1)),
        )
        for n in range(count)
    )


async def test_ten_thousand_unchanged_flows_send_nothing(pair: OvsPair, bridge: str) -> None:
    """A fresh driver that compares an unchanged table finds nothing, and applying nothing sends no message."""
    desired = many_flows(10_000)
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        await switch.apply(FlowDiff(put=list(desired.values())))
    async with a_connected_driver(pair, bridge=bridge) as (again, _):
        diff = await again.compare(desired, [])
        before = pair.appctl("coverage/read-counter", "vconn_received")
        await again.apply(diff)
        after = pair.appctl("coverage/read-counter", "vconn_received")

    assert not diff
    assert after == before
    assert len(pair.ofctl("dump-flows", bridge, "--no-stats").splitlines()) == 10_000


async def test_what_differs_is_repaired_exactly(pair: OvsPair, bridge: str) -> None:
    """Missing, changed and superfluous flows of ours are found and repaired; the second compare is empty."""
    desired = many_flows(100)
    flows = list(desired.values())
    cookie = f"cookie={COOKIE_OURS:#x}"
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        await switch.apply(FlowDiff(put=flows))
        for flow in flows[:4]:
            place = f"table=1,priority={flow.priority},metadata={flow.match[1].value}"
            mac = ":".join(f"{byte:02x}" for byte in flow.match[0].value.to_bytes(6, "big"))
            where = f"{place},dl_dst={mac}"
            match flow.priority - 100:
                case 0:
                    pair.ofctl("del-flows", bridge, "--strict", where)
                case 1:
                    pair.ofctl("add-flow", bridge, f"{where},cookie={flow.cookie:#x},actions=drop")
                case 2:
                    same = "set_field:9->tun_id,set_field:10.0.0.2->tun_dst,output:1"
                    pair.ofctl("add-flow", bridge, f"{where},{cookie},actions={same}")
                case 3:
                    same = "set_field:9->tun_id,set_field:10.0.0.3->tun_dst,output:1"
                    pair.ofctl(
                        "add-flow", bridge, f"{where},cookie={flow.cookie:#x},idle_timeout=900,actions={same}"
                    )
        pair.ofctl(
            "add-flow", bridge, f"table=3,priority=9,{cookie},tcp,reg3=7,tp_dst=0x50/0xf0,actions=drop"
        )
        diff = await switch.compare(desired, [])
        await switch.apply(diff)
        second = await switch.compare(desired, [])

    assert [flow.priority for flow in diff.put] == [100, 101, 102, 103]
    assert [(key.table, key.priority) for key in diff.remove] == [(3, 9)]
    assert second == FlowDiff(put=[], remove=[], meters=[])


async def test_foreign_flows_are_never_touched(pair: OvsPair, bridge: str) -> None:
    """Flows with other cookies are neither reported nor removed, not even when their key is named."""
    ours = Flow(0, 5, match(metadata=5), (Output(1),), COOKIE_OURS | 1)
    theirs = Flow(0, 6, match(metadata=6), (Output(1),), COOKIE_OURS | 1)
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        pair.ofctl("add-flow", bridge, "table=0,priority=6,cookie=0x77,metadata=6,actions=NORMAL")
        await switch.apply(FlowDiff(put=[ours], remove=[theirs.key]))
        diff = await switch.compare({}, [])
        await switch.apply(diff)

    assert [key.priority for key in diff.remove] == [5]
    flows = pair.ofctl("dump-flows", bridge, "--no-stats").strip()
    assert flows == "cookie=0x77, priority=6,metadata=0x6 actions=NORMAL"


async def test_flows_are_replaced_and_removed_by_key(pair: OvsPair, bridge: str) -> None:
    """Putting a key that is there replaces its actions and cookie; removing takes exactly that flow."""
    old = Flow(0, 5, match(metadata=5), (Output(1),), COOKIE_OURS | 1)
    new = Flow(0, 5, match(metadata=5), (Resubmit(1),), COOKIE_OURS | 2)
    wider = Flow(0, 5, (), (), COOKIE_OURS | 3)
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        await switch.apply(FlowDiff(put=[old, wider]))
        await switch.apply(FlowDiff(put=[new]))
        replaced = await switch.compare({new.key: new, wider.key: wider}, [])
        await switch.apply(FlowDiff(remove=[wider.key]))
        removed = await switch.compare({new.key: new}, [])

    assert not replaced
    assert not removed


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Flow(0, 9, match(udp_dst=67), (), COOKIE_OURS | 9), "OFPBMC_BAD_PREREQ"),
        (Flow(0, 9, (), (Meter(99),), COOKIE_OURS | 9), "OFPMMFC_INVALID_METER"),
        (Flow(0, 9, (), (), 0x77), "its cookie is not one of ours"),
        (Flow(0, 9, match(udp_dst=1 << 16), (), COOKIE_OURS | 9), "does not fit 16 bits"),
        (Flow(0, 9, (), (Output(1),) * 5_000, COOKIE_OURS | 9), "at most 65527 fit"),
    ],
)
@pytest.mark.parametrize("company", [0, 10])
async def test_a_refused_flow_is_named_and_takes_its_bundle_with_it(
    pair: OvsPair, bridge: str, bad: Flow, reason: str, company: int
) -> None:
    """The error names the flow and the switch's reason; nothing of its bundle is installed; the driver goes on."""
    good = list(many_flows(company).values())
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        with pytest.raises(SwitchError, match=f"table=0,priority=9.*{reason}"):
            await switch.apply(FlowDiff(put=[*good, bad]))
        installed = await switch.compare({}, [])
        await switch.apply(FlowDiff(put=[*good, Flow(0, 9, (), (), COOKIE_OURS | 9)]))

    assert installed == FlowDiff(put=[], remove=[], meters=[])
    assert len(pair.ofctl("dump-flows", bridge, "--no-stats").strip().splitlines()) == company + 1


async def test_meters_come_before_the_flows_that_use_them(pair: OvsPair, bridge: str) -> None:
    """Meters are added, changed and left alone as needed, in one apply with flows that name them."""
    flow = Flow(0, 5, (), (Meter(4), Output(1)), COOKIE_OURS | 1)
    first, second = [MeterSpec(4, 100, 10), MeterSpec(5, 7, 7)], [MeterSpec(4, 200, 20), MeterSpec(5, 7, 7)]
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        pair.ofctl("add-meter", bridge, "meter=90,kbps,band=type=drop,rate=1000")
        pair.ofctl("add-meter", bridge, "meter=5,kbps,band=type=drop,rate=1000")
        found = await switch.compare({flow.key: flow}, first)
        await switch.apply(found)
        after = await switch.compare({flow.key: flow}, first)
        changed = await switch.compare({flow.key: flow}, second)
        await switch.apply(changed)
        last = await switch.compare({flow.key: flow}, second)

    assert found == FlowDiff(put=[flow], remove=[], meters=first)
    assert not after
    assert changed == FlowDiff(put=[], remove=[], meters=[MeterSpec(4, 200, 20)])
    assert not last
    assert "meter=90 kbps" in pair.ofctl("dump-meters", bridge)


async def test_a_refused_meter_is_named(pair: OvsPair, bridge: str) -> None:
    """An id beyond what the switch has is refused by name."""
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        with pytest.raises(SwitchError, match=r"MeterSpec\(id=4294901761.*OFPMMFC_INVALID_METER"):
            await switch.apply(FlowDiff(meters=[MeterSpec(0xFFFF0001, 1, 1)]))
