"""The one tree of errors a caller can react to.

    AlcorError
    ├── InvalidInput       the request can never succeed as it stands; change it
    ├── Unauthenticated    say who you are
    ├── Forbidden          you may not do this
    ├── NotFound           what was named is not there
    ├── Conflict           the present state forbids it; change that, then try again
    │   └── InUse          ... because something else uses it; `by` names the user
    ├── StaleRevision      the row changed since you read it; read again (If-Match)
    ├── QuotaExceeded      ask for more quota, or delete something
    ├── Exhausted          a pool is empty; enlarge it, or delete something
    └── Unavailable        try again later; nothing was kept, unless it says that nobody can tell

Each carries its data as fields and makes its text from them. `Problem` says which rule spoke, so that
the API can answer with the reference's error type; a new class needs a new *reaction* of the caller.
"""

from enum import StrEnum


class Problem(StrEnum):
    """The rule that spoke. The API maps each to one status and one `NeutronError.type`."""

    GENERIC = "generic"
    UNKNOWN_ATTRIBUTE = "unknown_attribute"
    SUBNET_OVERLAP = "subnet_overlap"
    ADDRESS_NOT_IN_SUBNET = "address_not_in_subnet"
    ADDRESS_NOT_ON_NETWORK = "address_not_on_network"
    ADDRESS_TAKEN = "address_taken"
    MAC_TAKEN = "mac_taken"
    SEGMENT_TAKEN = "segment_taken"
    NO_ADDRESS_LEFT = "no_address_left"
    NO_MAC_LEFT = "no_mac_left"
    NO_SEGMENT_LEFT = "no_segment_left"
    POOL_OUT_OF_SUBNET = "pool_out_of_subnet"
    POOLS_OVERLAP = "pools_overlap"
    GATEWAY_IN_POOL = "gateway_in_pool"
    NAME_TAKEN = "name_taken"
    TOO_LARGE = "too_large"
    SERVICE_PROFILE_EMPTY = "service_profile_empty"
    FLAVOR_PROFILE_EXISTS = "flavor_profile_exists"
    RBAC_POLICY_EXISTS = "rbac_policy_exists"
    RBAC_POLICY_IN_USE = "rbac_policy_in_use"
    RBAC_ACTION = "rbac_action"
    SHARED_IN_USE = "shared_in_use"
    BAD_REQUEST = "bad_request"
    VLAN_TAKEN = "vlan_taken"
    FLAT_TAKEN = "flat_taken"
    SEGMENTS_AND_PROVIDER = "segments_and_provider"
    SEGMENTS_REPEATED = "segments_repeated"
    EXTERNAL_IN_USE = "external_in_use"
    DEFAULT_EXTERNAL_EXISTS = "default_external_exists"
    MTU_CONFLICT = "mtu_conflict"
    GATEWAY_IN_USE = "gateway_in_use"
    TOO_MANY_SERVERS = "too_many_servers"
    TOO_MANY_ROUTES = "too_many_routes"
    SERVICE_TYPE = "service_type"
    POOL_INVALID = "pool_invalid"
    SUBNETPOOL_AFFINITY = "subnetpool_affinity"
    SUBNETPOOL_EMPTY = "subnetpool_empty"
    SUBNETPOOL_VERSIONS = "subnetpool_versions"
    SUBNETPOOL_BOUNDS = "subnetpool_bounds"
    SUBNETPOOL_PREFIXES = "subnetpool_prefixes"
    SUBNETPOOL_UPDATE = "subnetpool_update"
    SUBNETPOOL_DELETE = "subnetpool_delete"
    SUBNETPOOL_FULL = "subnetpool_full"
    SUBNETPOOL_QUOTA = "subnetpool_quota"
    PREFIX_TOO_LONG = "prefix_too_long"
    PREFIX_TOO_SHORT = "prefix_too_short"
    SCOPE_PREFIXES = "scope_prefixes"
    SCOPE_VERSION = "scope_version"
    SCOPE_AFFINITY = "scope_affinity"
    SCOPE_UPDATE = "scope_update"
    SUBNET_SEGMENTS_MIXED = "subnet_segments_mixed"
    SUBNET_SEGMENT_CHANGE = "subnet_segment_change"
    SUBNET_SEGMENTS_MANY = "subnet_segments_many"
    SUBNET_SEGMENT_NETWORK = "subnet_segment_network"
    RANGE_TYPE = "range_type"
    RANGE_REFERENCED = "range_referenced"
    RANGE_READ_ONLY = "range_read_only"
    RANGE_OVERLAP = "range_overlap"
    NO_INTERFACE = "no_interface"
    NO_INTERFACE_ON_SUBNET = "no_interface_on_subnet"
    SUBNET_NOT_ON_PORT = "subnet_not_on_port"
    INTERFACE_IN_USE_BY_FLOATING_IP = "interface_in_use_by_floating_ip"
    INTERFACE_IN_USE_BY_ROUTE = "interface_in_use_by_route"
    INTERFACE_IN_USE_BY_NDP_PROXY = "interface_in_use_by_ndp_proxy"
    GATEWAY_IN_USE_BY_FLOATING_IP = "gateway_in_use_by_floating_ip"
    GATEWAY_IN_USE_BY_NDP_PROXY = "gateway_in_use_by_ndp_proxy"
    GATEWAY_NOT_VALID = "gateway_not_valid"
    IPV6_GATEWAY_IN_USE = "ipv6_gateway_in_use"
    GATEWAYS_NOT_REMOVED = "gateways_not_removed"
    GATEWAYS_NOT_MATCHED = "gateways_not_matched"
    INVALID_ROUTES = "invalid_routes"
    ROUTES_EXHAUSTED = "routes_exhausted"
    NO_GATEWAY_FOR_FLOATING_IP = "no_gateway_for_floating_ip"
    FIXED_IP_ASSOCIATED = "fixed_ip_associated"
    FLOATING_IP_OF_OTHERS = "floating_ip_of_others"
    FLOATING_IP_FORWARDS = "floating_ip_forwards"
    PORT_HAS_FORWARDING = "port_has_forwarding"
    PORT_HAS_FLOATING_IP = "port_has_floating_ip"
    NO_OUTER_ADDRESS = "no_outer_address"
    HELPER_NOT_ALLOWED = "helper_not_allowed"
    HELPER_PROTOCOL = "helper_protocol"
    NDP_PROXY_DISABLED = "ndp_proxy_disabled"
    NDP_PROXY_UNREACHABLE = "ndp_proxy_unreachable"
    NDP_PROXY_ADDRESS = "ndp_proxy_address"
    NDP_PROXY_SCOPE = "ndp_proxy_scope"
    LOCAL_IP_WITHOUT_PLACE = "local_ip_without_place"
    LOCAL_IP_NO_ADDRESS = "local_ip_no_address"
    LOCAL_IP_OTHER_ADDRESS = "local_ip_other_address"
    LOCAL_IP_MANY_ADDRESSES = "local_ip_many_addresses"
    NO_TOPOLOGY = "no_topology"
    METERING_OVERLAP = "metering_overlap"
    METERING_PREFIXES = "metering_prefixes"
    PORT_HAS_GROUPS = "port_has_groups"
    GROUPS_NEED_SECURITY = "groups_need_security"
    PAIRS_NEED_SECURITY = "pairs_need_security"
    PAIRS_TOO_MANY = "pairs_too_many"
    PAIR_WITHOUT_ADDRESS = "pair_without_address"
    PAIR_TWICE = "pair_twice"
    PORT_BOUND = "port_bound"
    PORT_BOUND_NUMA = "port_bound_numa"
    PORT_OF_SERVICE = "port_of_service"
    DEVICE_OWNER_UNSUPPORTED = "device_owner_unsupported"
    DEVICE_OF_OTHERS = "device_of_others"
    NO_MATCHING_SUBNET = "no_matching_subnet"
    BINDING_EXISTS = "binding_exists"
    BINDING_ACTIVE = "binding_active"
    BINDING_FAILED = "binding_failed"
    TRUNK_PORT_IN_USE = "trunk_port_in_use"
    PARENT_PORT_IN_USE = "parent_port_in_use"
    PORT_IS_TRUNK_PARENT = "port_is_trunk_parent"
    PORT_IS_SUBPORT = "port_is_subport"
    SUBPORT_TWICE = "subport_twice"
    SUBPORT_MTU = "subport_mtu"
    TRUNK_DISABLED = "trunk_disabled"
    CIDR = "cidr"
    SG_PROTOCOL = "sg_protocol"
    SG_ETHERTYPE = "sg_ethertype"
    SG_PORT = "sg_port"
    SG_PORT_RANGE = "sg_port_range"
    SG_PORT_PROTOCOL = "sg_port_protocol"
    SG_PROTOCOL_NEEDED = "sg_protocol_needed"
    SG_ICMP_VALUE = "sg_icmp_value"
    SG_ICMP_TYPE_NEEDED = "sg_icmp_type_needed"
    SG_PROTOCOL_ETHERTYPE = "sg_protocol_ethertype"
    SG_PREFIX_ETHERTYPE = "sg_prefix_ethertype"
    SG_REMOTES = "sg_remotes"
    SG_MANY_PROJECTS = "sg_many_projects"
    SG_MANY_GROUPS = "sg_many_groups"
    SG_RULE_TWICE = "sg_rule_twice"
    SG_RULE_EXISTS = "sg_rule_exists"
    SG_DEFAULT_EXISTS = "sg_default_exists"
    SG_DEFAULT_STAYS = "sg_default_stays"
    SG_DEFAULT_NAME = "sg_default_name"
    SG_CONFLICT = "sg_conflict"
    SG_TEMPLATE_TWICE = "sg_template_twice"
    SG_TEMPLATE_EXISTS = "sg_template_exists"
    ADDRESSES_EXIST = "addresses_exist"
    ADDRESSES_MISSING = "addresses_missing"
    QOS_RULE_CONFLICT = "qos_rule_conflict"
    QOS_RULE_NOT_SUPPORTED = "qos_rule_not_supported"
    QOS_RULES_CONFLICT = "qos_rules_conflict"
    QOS_DEFAULT_EXISTS = "qos_default_exists"
    LOG_TYPE = "log_type"
    LOG_RESOURCE = "log_resource"
    LOG_TARGET = "log_target"
    LOG_CONSTRAINT = "log_constraint"
    LOG_NOT_SUPPORTED = "log_not_supported"
    BINDING_MISSING = "binding_missing"
    SUBNET_OUTSIDE_VPC = "subnet_outside_vpc"
    VPC_BLOCK_IN_USE = "vpc_block_in_use"
    PEERING_OVERLAP = "peering_overlap"
    PEERING_EXISTS = "peering_exists"
    PEERING_NEEDS_BLOCK = "peering_needs_block"
    PEERING_STATE = "peering_state"
    ACL_NUMBER_TAKEN = "acl_number_taken"
    ACL_SUBNET_TAKEN = "acl_subnet_taken"
    ACL_DEFAULT_EXISTS = "acl_default_exists"
    RANGE_OUTSIDE_SUBNET = "range_outside_subnet"
    ADDRESS_RANGES_OVERLAP = "address_ranges_overlap"
    ELASTIC_IP_RANGE_IN_USE = "elastic_ip_range_in_use"
    HOSTS_NOT_REGISTERED = "hosts_not_registered"
    NCM_FULL = "ncm_full"
    SUBPORT_MISSING = "subport_missing"
    FW_PORT_WITHOUT_PROTOCOL = "fw_port_without_protocol"
    FW_PORT_PROTOCOL = "fw_port_protocol"
    FW_PORT = "fw_port"
    FW_ADDRESS = "fw_address"
    FW_DEFAULT_UPDATE = "fw_default_update"
    FW_DEFAULT_NAME = "fw_default_name"
    FW_DEFAULT_STAYS = "fw_default_stays"
    FW_RULE_SHARING = "fw_rule_sharing"
    FW_RULE_PROJECT = "fw_rule_project"
    FW_RULE_THERE = "fw_rule_there"
    FW_RULE_MISSING = "fw_rule_missing"
    FW_RULE_NOT_THERE = "fw_rule_not_there"
    FW_POLICY_SHARING = "fw_policy_sharing"
    FW_POLICY_PROJECT = "fw_policy_project"
    FW_PORT_OWNER = "fw_port_owner"
    FW_PORT_UNBOUND = "fw_port_unbound"
    FW_PORT_IN_USE = "fw_port_in_use"
    BGP_PASSWORD_MISSING = "bgp_password_missing"
    BGP_NOT_AUTHENTICATED = "bgp_not_authenticated"
    BGP_PEER_TWICE = "bgp_peer_twice"
    BGP_PEER_MISSING = "bgp_peer_missing"
    BGP_NETWORK_TWICE = "bgp_network_twice"
    BGP_NETWORK_MISSING = "bgp_network_missing"
    TAP_PORT_OF_OTHERS = "tap_port_of_others"
    TAP_SERVICE_OF_OTHERS = "tap_service_of_others"
    TAP_TUNNEL_TAKEN = "tap_tunnel_taken"
    BGPVPN_PROJECT = "bgpvpn_project"
    BGPVPN_NETWORK_THERE = "bgpvpn_network_there"
    BGPVPN_ROUTER_THERE = "bgpvpn_router_there"
    BGPVPN_PORT_THERE = "bgpvpn_port_there"
    BGPVPN_ROUTE_MISSING = "bgpvpn_route_missing"
    BGPVPN_ROUTE_TYPE = "bgpvpn_route_type"
    BGPVPN_ROUTE_PROJECT = "bgpvpn_route_project"
    VPN_IKE_POLICY_IN_USE = "vpn_ike_policy_in_use"
    VPN_IPSEC_POLICY_IN_USE = "vpn_ipsec_policy_in_use"
    VPN_SERVICE_IN_USE = "vpn_service_in_use"
    VPN_GROUP_IN_USE = "vpn_group_in_use"
    VPN_ROUTER_INNER = "vpn_router_inner"
    VPN_SUBNET_ELSEWHERE = "vpn_subnet_elsewhere"
    VPN_FLAVOR_TYPE = "vpn_flavor_type"
    VPN_NO_ENDPOINTS = "vpn_no_endpoints"
    VPN_ENDPOINT = "vpn_endpoint"
    VPN_ENDPOINT_MISSING = "vpn_endpoint_missing"
    VPN_SUBNET_OF_SERVICE = "vpn_subnet_of_service"
    VPN_SUBNET_OF_GROUP = "vpn_subnet_of_group"
    VPN_SUBNET_OF_CONNECTION = "vpn_subnet_of_connection"
    VPN_DPD = "vpn_dpd"
    VPN_MTU = "vpn_mtu"
    VPN_NO_PEER_CIDRS = "vpn_no_peer_cidrs"
    VPN_GROUP_AND_SUBNET = "vpn_group_and_subnet"
    VPN_PEER_CIDRS = "vpn_peer_cidrs"
    VPN_GROUP_MISSING = "vpn_group_missing"
    VPN_MIXED_CIDRS = "vpn_mixed_cidrs"
    VPN_MIXED_ENDPOINTS = "vpn_mixed_endpoints"
    VPN_MIXED_ENDS = "vpn_mixed_ends"
    VPN_GROUP_TYPE = "vpn_group_type"
    VPN_PEER_ADDRESS = "vpn_peer_address"
    VPN_PEER_VERSION = "vpn_peer_version"
    FC_PROTOCOL = "fc_protocol"
    FC_ETHERTYPE = "fc_ethertype"
    FC_PORT = "fc_port"
    FC_PORT_RANGE = "fc_port_range"
    FC_PORT_PROTOCOL = "fc_port_protocol"
    FC_PREFIX = "fc_prefix"
    FC_LOGICAL_PORT = "fc_logical_port"
    FC_CONFLICT = "fc_conflict"
    FC_L7 = "fc_l7"
    SFC_PORT_MISSING = "sfc_port_missing"
    SFC_INGRESS_NO_HOST = "sfc_ingress_no_host"
    SFC_EGRESS_NO_HOST = "sfc_egress_no_host"
    SFC_TWO_HOSTS = "sfc_two_hosts"
    SFC_PAIR_THERE = "sfc_pair_there"
    SFC_CORRELATIONS = "sfc_correlations"
    SFC_TAP_PAIRS = "sfc_tap_pairs"
    SFC_TAPS = "sfc_taps"
    SFC_NO_GROUPS = "sfc_no_groups"
    SFC_SAME_GROUPS = "sfc_same_groups"
    SFC_CHAIN_CORRELATION = "sfc_chain_correlation"
    SFC_FLOWS = "sfc_flows"
    SFC_CHAIN_NUMBER = "sfc_chain_number"
    SFC_CHAIN_NUMBERS = "sfc_chain_numbers"


def _named(kind: str) -> str:
    """A kind at the beginning of a sentence: "port" → "Port", "mac_range" → "Mac range", "IP address" as it is."""
    return (kind[:1].upper() + kind[1:]).replace("_", " ")


class AlcorError(Exception):
    """Any error with a meaning for the caller."""

    problem: Problem = Problem.GENERIC
    detail: str = ""
    """More about it, for a client that looks for more: which lines of a file are wrong, and why."""

    @property
    def message(self) -> str:
        """The sentence a person reads: the thing, the reason, the way out."""
        return str(self)


class InvalidInput(AlcorError):
    """A value that no state of the region could make right."""

    def __init__(
        self, reason: str, *, attribute: str = "", problem: Problem = Problem.GENERIC, detail: str = ""
    ) -> None:
        super().__init__(f"Invalid input for {attribute}: {reason}" if attribute else reason)
        self.reason, self.attribute, self.problem, self.detail = reason, attribute, problem, detail


class Unauthenticated(AlcorError):
    """No token, or one that is not known.

    `realm` is the URL that gives tokens, "" if this region does.
    """

    def __init__(self, reason: str, *, realm: str = "") -> None:
        super().__init__(reason)
        self.realm = realm


class Forbidden(AlcorError):
    """The caller is known and may not do this."""

    def __init__(self, reason: str, *, problem: Problem = Problem.GENERIC) -> None:
        super().__init__(reason)
        self.problem = problem


class NotFound(AlcorError):
    """`kind` (a resource name, such as "port") has no row `id`. `reason`: a sentence that says more."""

    def __init__(self, kind: str, id: str, *, reason: str = "", problem: Problem = Problem.GENERIC) -> None:
        super().__init__(reason or f"{_named(kind)} {id} could not be found.")
        self.kind, self.id, self.problem = kind, id, problem


class Conflict(AlcorError):
    """The present state of the region forbids it."""

    def __init__(
        self, reason: str, *, kind: str = "", id: str = "", problem: Problem = Problem.GENERIC
    ) -> None:
        super().__init__(reason)
        self.kind, self.id, self.problem = kind, id, problem


class InUse(Conflict):
    """`kind` `id` cannot go (or be taken) because `by` uses it."""

    def __init__(self, kind: str, id: str, *, by: str, problem: Problem = Problem.GENERIC) -> None:
        super().__init__(f"{_named(kind)} {id} is in use: {by}.", kind=kind, id=id, problem=problem)
        self.by = by


class StaleRevision(AlcorError):
    """`If-Match` named a `revision_number` that is not the row's present one."""

    def __init__(self, kind: str, id: str, expected: int, actual: int) -> None:
        super().__init__(
            f"{_named(kind)} {id} has revision_number {actual}, not {expected}. "
            "Read it again and repeat the change."
        )
        self.kind, self.id, self.expected, self.actual = kind, id, expected, actual


class QuotaExceeded(AlcorError):
    """A project's limit of `resource` is reached."""

    def __init__(self, resource: str, limit: int) -> None:
        super().__init__(f"Quota exceeded for resources: ['{resource}'] (limit {limit}).")
        self.resource, self.limit = resource, limit


class Exhausted(AlcorError):
    """Nothing is left of `what` (addresses of a subnet, MACs of a range, VNIs of a range)."""

    def __init__(self, what: str, where: str, *, problem: Problem = Problem.GENERIC) -> None:
        super().__init__(f"No more {what} available {where}.")
        self.what, self.where, self.problem = what, where, problem


class Unavailable(AlcorError):
    """A part of the region cannot answer now. `undone`: nothing of the request was kept; else nobody can tell."""

    def __init__(self, reason: str, *, retry_after_s: int = 1, undone: bool = True) -> None:
        super().__init__(reason)
        self.retry_after_s, self.undone = retry_after_s, undone
