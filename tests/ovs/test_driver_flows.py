"""The Open vSwitch driver's flows and meters: what is sent is what is read back, and repairs are exact."""

import random
from collections.abc import Iterable, Iterator, Mapping

import pytest

from alcor.agent.driver import FlowDiff, FlowsRefused, SwitchError
from alcor.pipeline import prerequisite
from alcor.pipeline.flow import (
    Action,
    Bucket,
    CheckPacketLarger,
    Clone,
    Conjunction,
    Conntrack,
    ConntrackClear,
    Controller,
    DecTtl,
    Field,
    Flow,
    FlowKey,
    Group,
    GroupKind,
    GroupSpec,
    Match,
    Meter,
    MeterSpec,
    MeterUnit,
    Move,
    Nat,
    NatRange,
    Output,
    OutputInPort,
    Pop,
    PopVlan,
    Push,
    PushVlan,
    Resubmit,
    SetField,
    match,
)
from alcor.pipeline.tables import COOKIE_OURS, GROUPS_OURS, METERS_OURS
from tests.support.ovs import OvsPair, a_connected_driver, a_namespace, an_ovs_pair

pytestmark = pytest.mark.ovs

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
NEIGHBOUR_SOLICITATION = {"eth_type": IPV6, "ip_proto": 58, "icmpv6_type": 135, "icmpv6_code": 0}
NEIGHBOUR_ADVERTISEMENT = {**NEIGHBOUR_SOLICITATION, "icmpv6_type": 136}
NEEDS: Mapping[str, Mapping[str, int | tuple[int, int]]] = {
    "ARP_": {"eth_type": ARP},
    "IP_": {"eth_type": IPV4},
    "IPV4_": {"eth_type": IPV4},
    "IPV6_": {"eth_type": IPV6},
    "TCP_": {"eth_type": IPV4, "ip_proto": 6},
    "SCTP_": {"eth_type": IPV6, "ip_proto": 132},
    "CT_IPV4_": {"eth_type": IPV4, "ct_state": (1, 1)},
    "CT_IPV6_": {"eth_type": IPV6, "ct_state": (2, 2)},
    "CT_IP_PROTO": {"eth_type": IPV4, "ct_state": (1, 1)},
    "CT_PORT_": {"eth_type": IPV4, "ct_state": (1, 1), "ct_ip_proto": 17},
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
    Field.VLAN_VID: 0x1ABC,
    Field.ARP_OP: 2,
    Field.IP_DSCP: 10,
    Field.IP_ECN: 1,
    Field.IP_FRAG: 1,
    Field.TCP_FLAGS: 0x123,
    Field.CT_STATE: 0x21,
}
CONNECTION = {Field.CT_MARK, Field.CT_LABEL}
VLAN = {Field.VLAN_TCI, Field.VLAN_VID}
READ_ONLY = {Field.IN_PORT, *prerequisite.READ_ONLY, *CONNECTION}
EXACT_ONLY = {*prerequisite.EXACT, Field.CT_IP_PROTO, Field.IP_FRAG}
MASKS = {Field.CT_STATE: ((0x22, 0x23), (0, 0x20), (0x40, 0xC0))}


@pytest.fixture(scope="module")
def pair() -> Iterator[OvsPair]:
    """A running switch."""
    with a_namespace("tdf") as namespace, an_ovs_pair(namespace=namespace) as running:
        yield running


def needs(field: Field) -> dict[str, int | tuple[int, int]]:
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
    if field in MASKS:
        yield from (match(**terms, **{name: form}) for form in MASKS[field])
        return
    yield match(**terms, **{name: value})
    if field is Field.IP_FRAG:
        yield from (match(**terms, **{name: form}) for form in ((0, 3), (1, 1), (3, 3), (0, 2)))
    elif field not in EXACT_ONLY:
        yield match(**terms, **{name: 0})
        if field in VLAN:
            for tci in ((0, 0x1000), (0x1000, 0x1000), (0x1ABC, 0x1FFF), (0xFABC, 0xFFFF), (0xB000, 0xF000)):
                if tci[0] >> field.bits == 0 and tci[1] >> field.bits == 0:
                    yield match(**{name: tci})
        else:
            yield match(**terms, **{name: (value, (1 << half) - 1 << field.bits - half)})
            yield match(**terms, **{name: (value, (1 << half) - 1)})


def actions_on(field: Field) -> Iterator[tuple[Action, ...]]:
    """All actions on one field."""
    bits, value = field.bits, a_value(field)
    if field is Field.VLAN_VID:
        yield (PushVlan(), SetField(field, value), PopVlan())
        return
    yield (Push(field), Pop(Field.XXREG0))
    yield (Move(field, Field.XXREG1, bits, 0, 128 - bits),)
    yield (Move(field, Field.REG5, min(3, bits), bits - min(3, bits), 11),)
    if field not in READ_ONLY:
        yield (SetField(field, value), SetField(field, 0))
        yield (Push(Field.REG0), Pop(field))
        yield (Move(Field.XXREG1, field, bits, 128 - bits),)
        if field not in (Field.ARP_OP, Field.IP_DSCP, Field.IP_ECN):
            yield (SetField(field, 0, 1), SetField(field, 2, 6))


def tracking_on(kind: int) -> Iterator[tuple[Action, ...]]:
    """All forms of conntrack for one family."""
    low, high, version = (0x0A000001, 0x0A000009, 4) if kind == IPV4 else (1 << 120, (1 << 120) + 9, 6)
    yield (Conntrack(0), Conntrack(0xFFFF), Conntrack(Field.REG13), ConntrackClear())
    yield (Conntrack(5, table=9, nat=Nat()), Conntrack(5, commit=True), Conntrack(5, commit=True, force=True))
    ranges = (
        NatRange(version, low),
        NatRange(version, low, low),
        NatRange(version, low, high),
        NatRange(version, low, None, 80),
        NatRange(version, low, high, 80, 90),
        NatRange(version, low, high, 80, 80),
    )
    for chosen in ranges:
        yield (Conntrack(5, commit=True, nat=Nat(source=chosen)),)
        yield (Conntrack(5, commit=True, table=9, nat=Nat(destination=chosen)),)
    marks: tuple[Action, ...] = (
        SetField(Field.CT_MARK, 5),
        SetField(Field.CT_MARK, 1, 3),
        SetField(Field.CT_LABEL, 7 << 64),
        SetField(Field.CT_LABEL, 7 << 64, 0xFF << 64),
        Move(Field.XXREG0, Field.CT_LABEL, 128),
        Move(Field.REG5, Field.CT_MARK, 8, 3, 9),
    )
    yield (Conntrack(5, commit=True, actions=marks),)
    yield (Clone((Conntrack(5, commit=True, nat=Nat(source=ranges[0]), actions=marks[:1]),)), Output(3))


def numbered(flows: Iterable[tuple[Match, tuple[Action, ...]]]) -> dict[FlowKey, Flow]:
    """Flows of ours in table 1 with priorities and cookies that tell them apart."""
    made = [Flow(1, 100 + n, m, actions, COOKIE_OURS | n) for n, (m, actions) in enumerate(flows)]
    return {flow.key: flow for flow in made}


A_METER = METERS_OURS[3]


def some_groups() -> list[GroupSpec]:
    """Groups of every kind and form."""
    inner: tuple[Action, ...] = (SetField(Field.TUN_ID, 5), Conntrack(3, commit=True, table=9), Output(4))
    first, second = Bucket(1, inner), Bucket(2, ())
    weighed = (Bucket(1, inner, 10), Bucket(2, (Output(1),), 0), Bucket(7, (), 1, watch_port=3))
    watched = (Bucket(1, inner, watch_port=1), Bucket(0, (Output(2),), watch_port=2))
    hashed = (Field.UDP_SRC, Field.IPV6_DST, Field.IPV4_SRC, Field.IP_PROTO, Field.ETH_DST, Field.METADATA)
    forms = (
        (GroupKind.ALL, (first, second), ()),
        (GroupKind.ALL, (), ()),
        (GroupKind.INDIRECT, (first,), ()),
        (GroupKind.SELECT, weighed, ()),
        (GroupKind.SELECT, weighed, hashed),
        (GroupKind.FAST_FAILOVER, watched, ()),
    )
    return [
        GroupSpec(GROUPS_OURS[n], kind, buckets, fields) for n, (kind, buckets, fields) in enumerate(forms)
    ]


async def test_every_field_and_action_is_read_back_as_it_was_sent(pair: OvsPair, bridge: str) -> None:
    """For every field matched, set, pushed, popped and moved, and for every action: compare finds nothing."""
    flows: list[tuple[Match, tuple[Action, ...]]] = [((), ()), ((), (Meter(A_METER), Output(3)))]
    flows += [(match(eth_type=kind), actions) for kind in (IPV4, IPV6) for actions in tracking_on(kind)]
    flows.append(((), (Conjunction(9, 2, 3), Conjunction(8, 1, 2), Conjunction(8, 64, 64))))
    flows.append(((), (Group(GROUPS_OURS[2]), CheckPacketLarger(1500, Field.REG10, 5))))
    flows.append(((), (CheckPacketLarger(0xFFFF, Field.XXREG3, 127), PushVlan(), PopVlan())))
    for field in Field:
        flows += [(condition, ()) for condition in matches_on(field)]
        flows += [(match(**needs(field)), actions) for actions in actions_on(field)]
    deep = Clone((SetField(Field.REG0, 5), Clone((Resubmit(9), Output(2))), Clone(())))
    plain = (Output(1), Output(0xFFFFFFFE), OutputInPort(), Resubmit(253), Controller(), deep, DecTtl())
    flows += [(match(eth_type=kind), (action,)) for action in plain for kind in (IPV4, IPV6)]
    flows.append((match(eth_type=IPV4), plain))
    desired = numbered(flows)
    meters = [MeterSpec(A_METER, 100, 10), MeterSpec(A_METER + 1, 9_000, 900, MeterUnit.KBPS)]
    groups = some_groups()

    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        await switch.apply(FlowDiff(put=list(desired.values()), meters=meters, groups=groups))
        diff = await switch.compare(desired, meters, groups)

    assert diff == FlowDiff(put=[], remove=[], meters=[])


def a_random_flow(chance: random.Random) -> tuple[Match, tuple[Action, ...]]:
    """A match of several conditions on one kind of packet, and several actions that suit it."""
    kind = chance.choice(list(NEEDS.values()))
    anywhere = [field for field in Field if not needs(field) and field is not Field.ETH_TYPE]
    fitting = [
        f for f in Field if needs(f) and needs(f).items() <= kind.items() and f.name.lower() not in kind
    ]
    anywhere = [field for field in anywhere if field is not Field.VLAN_VID]
    if kind == NEIGHBOUR_ADVERTISEMENT:
        fitting = [field for field in fitting if field is not Field.ND_SLL]
    conditions: dict[str, int | tuple[int, int]] = dict(kind)
    if "ct_state" in kind:
        anywhere.remove(Field.CT_STATE)
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
        fixed = field in EXACT_ONLY or field in (Field.VLAN_TCI, Field.CT_STATE)
        masked = field is Field.CT_STATE or (not fixed and chance.random() < 0.4)
        value = a_value(field) if fixed else chance.getrandbits(field.bits)
        mask = 0x3F if field is Field.CT_STATE else chance.getrandbits(field.bits) | 1
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
        with pytest.raises(FlowsRefused, match=f"table=0,priority=9.*{reason}") as refused:
            await switch.apply(FlowDiff(put=[*good, bad]))
        installed = await switch.compare({}, [])
        await switch.apply(FlowDiff(put=[*good, Flow(0, 9, (), (), COOKIE_OURS | 9)]))

    assert refused.value.keys == (bad.key,)
    assert installed == FlowDiff(put=[], remove=[], meters=[])
    assert len(pair.ofctl("dump-flows", bridge, "--no-stats").strip().splitlines()) == company + 1


async def test_meters_come_before_the_flows_that_use_them(pair: OvsPair, bridge: str) -> None:
    """Meters are added, changed and left alone as needed, in one apply with flows that name them."""
    one, other = METERS_OURS[4], METERS_OURS[5]
    flow = Flow(0, 5, (), (Meter(one), Output(1)), COOKIE_OURS | 1)
    first = [MeterSpec(one, 100, 10), MeterSpec(other, 7, 7)]
    second = [MeterSpec(one, 2_000, 200, MeterUnit.KBPS), MeterSpec(other, 7, 7)]
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        pair.ofctl("add-meter", bridge, f"meter={other},kbps,band=type=drop,rate=1000")
        found = await switch.compare({flow.key: flow}, first)
        await switch.apply(found)
        after = await switch.compare({flow.key: flow}, first)
        changed = await switch.compare({flow.key: flow}, second)
        await switch.apply(changed)
        last = await switch.compare({flow.key: flow}, second)

    assert found == FlowDiff(put=[flow], remove=[], meters=first)
    assert not after
    assert changed == FlowDiff(put=[], remove=[], meters=second[:1])
    assert not last


async def test_meters_and_groups_that_nobody_wants_go_after_their_flows(pair: OvsPair, bridge: str) -> None:
    """Ours by number are found and deleted in the apply that removes their last flow; others' stay, also in use."""
    meter, group = MeterSpec(METERS_OURS[4], 100, 10), GroupSpec(GROUPS_OURS[4], GroupKind.ALL, ())
    flows = [
        Flow(0, 5, (), (Meter(meter.id), Output(1)), COOKIE_OURS | 1),
        Flow(0, 6, (), (Group(group.id),), COOKIE_OURS | 1),
    ]
    desired = {flow.key: flow for flow in flows}
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        pair.ofctl("add-meter", bridge, "meter=90,kbps,band=type=drop,rate=1000")
        pair.ofctl("add-group", bridge, "group_id=90,type=all,bucket=output:1")
        pair.ofctl("add-flow", bridge, "table=0,priority=9,cookie=0x77,actions=meter:90,group:90")
        await switch.apply(FlowDiff(flows, (), [meter], [group]))
        pair.ofctl("add-meter", bridge, f"meter={METERS_OURS[7]},kbps,band=type=drop,rate=1000")
        pair.ofctl("add-group", bridge, f"group_id={GROUPS_OURS[7]},type=all,bucket=output:1")
        stale = await switch.compare(desired, [meter], [group])
        await switch.apply(stale)
        rest = await switch.compare({}, [], [])
        await switch.apply(rest)
        nothing = await switch.compare({}, [], [])

    assert stale == FlowDiff([], [], [], (), (METERS_OURS[7],), (GROUPS_OURS[7],))
    assert (rest.meters_removed, rest.groups_removed) == ((meter.id,), (group.id,))
    assert len(rest.remove) == 2
    assert not nothing
    assert "meter=90 kbps" in pair.ofctl("dump-meters", bridge)
    assert "group_id=90," in pair.ofctl("dump-groups", bridge)
    assert "cookie=0x77" in pair.ofctl("dump-flows", bridge)


async def test_a_group_is_changed_in_place(pair: OvsPair, bridge: str) -> None:
    """A group with other buckets, weights, ports or hash is found and repaired while flows use it."""
    groups = some_groups()
    flows = [Flow(0, 5 + n, (), (Group(group.id),), COOKIE_OURS | 1) for n, group in enumerate(groups)]
    desired = {flow.key: flow for flow in flows}
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        await switch.apply(FlowDiff(put=flows, groups=groups))
        for group in groups:
            pair.ofctl("mod-group", bridge, f"group_id={group.id},type=select,bucket=bucket_id:9,output:9")
        found = await switch.compare(desired, [], groups)
        await switch.apply(found)
        after = await switch.compare(desired, [], groups)

    assert found == FlowDiff([], [], [], tuple(groups))
    assert not after


@pytest.mark.parametrize(
    ("diff", "reason"),
    [
        (FlowDiff(meters=[MeterSpec(METERS_OURS[1], 1 << 32, 1)]), r"MeterSpec\(.*more than 32 bits"),
        (FlowDiff(meters=[MeterSpec(5, 1, 1)]), "not one of ours"),
        (FlowDiff(groups=[GroupSpec(5, GroupKind.ALL, ())]), "not one of ours"),
        (
            FlowDiff(groups=[GroupSpec(GROUPS_OURS[1], GroupKind.FAST_FAILOVER, (Bucket(1, ()),))]),
            "GroupSpec.*OFPGMFC_INVALID_GROUP|GroupSpec.*OFPGMFC_BAD_WATCH",
        ),
        (FlowDiff(put=[Flow(0, 9, (), (Group(GROUPS_OURS[8]),), COOKIE_OURS | 9)]), "OFPBAC_BAD_OUT_GROUP"),
    ],
)
async def test_a_refused_meter_or_group_is_named(
    pair: OvsPair, bridge: str, diff: FlowDiff, reason: str
) -> None:
    """The error says which, and why."""
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        with pytest.raises(SwitchError, match=reason):
            await switch.apply(diff)
