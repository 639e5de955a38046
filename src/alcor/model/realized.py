"""Who has a change: which hosts must have it in their switches, which have confirmed it, and which are missing why."""

import msgspec


class MissingHost(msgspec.Struct, frozen=True, gc=False):
    """A host that must have something and has not confirmed it. `host`: its name.

    `reason`: `down` (its agent was lost, or was not heard since the dataplane began), `behind by <n>` (revisions that
    the host has yet to confirm), or `not attached` (its agent has never been heard).
    """

    host: str
    reason: str


class Realized(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How far a revision has come. `hosts_actual` of `hosts_intended` hosts confirmed it, all others are `missing`.

    `stages_ms`: stage → milliseconds, each measured on one machine's clock: how long they took for the host that was
    last. A stage that was not reached, or is not remembered, is not there.
    `reason`: why nothing is known (the counts are 0 then); empty if it is.
    """

    revision: int
    hosts_intended: int = 0
    hosts_actual: int = 0
    missing: tuple[MissingHost, ...] = ()
    stages_ms: dict[str, float] = {}
    reason: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether every host that must have it has it."""
        return not self.reason and self.hosts_actual == self.hosts_intended


REACHING = frozenset(
    {
        "address_claim",
        "address_group",
        "bgp_peer",
        "bgp_speaker",
        "epoch_release",
        "firewall_group",
        "firewall_policy",
        "firewall_rule",
        "floatingip",
        "gateway_standing",
        "host",
        "network",
        "network_acl",
        "network_acl_rule",
        "port",
        "port_forwarding",
        "qos_bandwidth_limit_rule",
        "qos_dscp_marking_rule",
        "qos_packet_rate_limit_rule",
        "qos_policy",
        "region_setting",
        "rescue_lease",
        "route_table",
        "router",
        "security_group",
        "security_group_rule",
        "subnet",
        "subnetpool",
        "trunk",
        "vpc_peering",
    }
)
"""Names of the resources whose rows hosts may have to know of; the goal state is made from them (a test compares)."""
