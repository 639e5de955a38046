"""How an error becomes an answer: one table from what went wrong to (status, `NeutronError.type`).

Source: Networking API v2.0, "Faults"; the type names are those of the reference server, because clients (Nova,
openstacksdk) tell errors apart by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alcor.model.errors import (
    AlcorError,
    Conflict,
    Exhausted,
    Forbidden,
    InUse,
    InvalidInput,
    NotFound,
    Problem,
    QuotaExceeded,
    StaleRevision,
    Unauthenticated,
    Unavailable,
)

# A message repeats what the client sent; a client that sends megabytes must not get them back.
_MESSAGE_CHARS_MAX = 2_000

HTTP_TYPES: Mapping[int, str] = {
    400: "HTTPBadRequest",
    404: "HTTPNotFound",
    405: "HTTPMethodNotAllowed",
    410: "HTTPGone",
    413: "HTTPRequestEntityTooLarge",
    414: "HTTPRequestURITooLong",
    415: "HTTPUnsupportedMediaType",
    431: "HTTPRequestHeaderFieldsTooLarge",
}
"""The type of what the edge itself refuses, by status."""

_BY_PROBLEM: Mapping[Problem, tuple[int, str]] = {
    Problem.UNKNOWN_ATTRIBUTE: (400, "HTTPBadRequest"),
    Problem.SERVICE_PROFILE_EMPTY: (400, "ServiceProfileEmpty"),
    Problem.FLAVOR_PROFILE_EXISTS: (409, "FlavorServiceProfileBindingExists"),
    # The reference calls an overlap an input error, not a conflict.
    Problem.SUBNET_OVERLAP: (400, "InvalidInput"),
    Problem.ADDRESS_NOT_IN_SUBNET: (400, "InvalidIpForSubnet"),
    Problem.ADDRESS_NOT_ON_NETWORK: (400, "InvalidIpForNetwork"),
    Problem.ADDRESS_TAKEN: (409, "IpAddressAlreadyAllocated"),
    Problem.MAC_TAKEN: (409, "MacAddressInUse"),
    Problem.SEGMENT_TAKEN: (409, "TunnelIdInUse"),
    Problem.NO_ADDRESS_LEFT: (409, "IpAddressGenerationFailure"),
    Problem.NO_MAC_LEFT: (503, "MacAddressGenerationFailure"),
    Problem.NO_SEGMENT_LEFT: (503, "NoNetworkAvailable"),
    Problem.POOL_OUT_OF_SUBNET: (400, "OutOfBoundsAllocationPool"),
    Problem.POOLS_OVERLAP: (409, "OverlappingAllocationPools"),
    Problem.GATEWAY_IN_POOL: (409, "GatewayConflictWithAllocationPools"),
    Problem.NAME_TAKEN: (409, "HTTPConflict"),
    Problem.TOO_LARGE: (413, "HTTPRequestEntityTooLarge"),
    Problem.RBAC_POLICY_EXISTS: (409, "DuplicateRbacPolicy"),
    Problem.RBAC_POLICY_IN_USE: (409, "RbacPolicyInUse"),
    Problem.RBAC_ACTION: (400, "InvalidActionForType"),
    Problem.SHARED_IN_USE: (409, "InvalidSharedSetting"),
    Problem.BAD_REQUEST: (400, "BadRequest"),
    Problem.NO_INTERFACE: (404, "RouterInterfaceNotFound"),
    Problem.NO_INTERFACE_ON_SUBNET: (404, "RouterInterfaceNotFoundForSubnet"),
    Problem.SUBNET_NOT_ON_PORT: (400, "SubnetMismatchForPort"),
    Problem.INTERFACE_IN_USE_BY_FLOATING_IP: (409, "RouterInterfaceInUseByFloatingIP"),
    Problem.INTERFACE_IN_USE_BY_ROUTE: (409, "RouterInterfaceInUseByRoute"),
    Problem.INTERFACE_IN_USE_BY_NDP_PROXY: (409, "RouterInterfaceInUseByNDPProxy"),
    Problem.GATEWAY_IN_USE_BY_FLOATING_IP: (409, "RouterExternalGatewayInUseByFloatingIp"),
    Problem.GATEWAY_IN_USE_BY_NDP_PROXY: (409, "RouterGatewayInUseByNDPProxy"),
    Problem.GATEWAY_NOT_VALID: (409, "RouterGatewayNotValid"),
    Problem.IPV6_GATEWAY_IN_USE: (409, "RouterIPv6GatewayInUse"),
    Problem.GATEWAYS_NOT_REMOVED: (409, "UnableToRemoveGateways"),
    Problem.GATEWAYS_NOT_MATCHED: (409, "UnableToMatchGateways"),
    Problem.INVALID_ROUTES: (400, "InvalidRoutes"),
    Problem.ROUTES_EXHAUSTED: (400, "RoutesExhausted"),
    Problem.NO_GATEWAY_FOR_FLOATING_IP: (404, "ExternalGatewayForFloatingIPNotFound"),
    Problem.FIXED_IP_ASSOCIATED: (409, "FloatingIPPortAlreadyAssociated"),
    Problem.FLOATING_IP_OF_OTHERS: (409, "FipAssociated"),
    Problem.FLOATING_IP_FORWARDS: (409, "FipInUseByPortForwarding"),
    Problem.PORT_HAS_FORWARDING: (400, "PortHasPortForwarding"),
    Problem.PORT_HAS_FLOATING_IP: (409, "PortHasBindingFloatingIP"),
    Problem.NO_OUTER_ADDRESS: (400, "ExternalIpAddressExhausted"),
    Problem.HELPER_NOT_ALLOWED: (400, "ConntrackHelperNotAllowed"),
    Problem.HELPER_PROTOCOL: (400, "InvalidProtocolForHelper"),
    Problem.NDP_PROXY_DISABLED: (409, "RouterNDPProxyNotEnable"),
    Problem.NDP_PROXY_UNREACHABLE: (409, "PortUnreachableRouter"),
    Problem.NDP_PROXY_ADDRESS: (400, "InvalidAddress"),
    Problem.NDP_PROXY_SCOPE: (409, "AddressScopeConflict"),
    Problem.LOCAL_IP_WITHOUT_PLACE: (400, "LocalIPPortOrNetworkRequired"),
    Problem.LOCAL_IP_NO_ADDRESS: (400, "LocalIPNoIP"),
    Problem.LOCAL_IP_OTHER_ADDRESS: (400, "LocalIPRequestedIPNotFound"),
    Problem.LOCAL_IP_MANY_ADDRESSES: (400, "LocalIPNoRequestedIP"),
    Problem.NO_TOPOLOGY: (409, "AutoAllocationFailure"),
    Problem.METERING_OVERLAP: (409, "MeteringLabelRuleOverlaps"),
    Problem.METERING_PREFIXES: (400, "Invalid"),
    Problem.VLAN_TAKEN: (409, "VlanIdInUse"),
    Problem.FLAT_TAKEN: (409, "FlatNetworkInUse"),
    Problem.SEGMENTS_AND_PROVIDER: (400, "SegmentsSetInConjunctionWithProviders"),
    Problem.SEGMENTS_REPEATED: (400, "SegmentsContainDuplicateEntry"),
    Problem.EXTERNAL_IN_USE: (409, "ExternalNetworkInUse"),
    Problem.DEFAULT_EXTERNAL_EXISTS: (409, "DefaultExternalNetworkExists"),
    Problem.MTU_CONFLICT: (409, "NetworkMTUSubnetConflict"),
    Problem.GATEWAY_IN_USE: (409, "GatewayIpInUse"),
    Problem.TOO_MANY_SERVERS: (400, "DNSNameServersExhausted"),
    Problem.TOO_MANY_ROUTES: (400, "HostRoutesExhausted"),
    Problem.SERVICE_TYPE: (400, "InvalidSubnetServiceType"),
    Problem.POOL_INVALID: (400, "InvalidAllocationPool"),
    Problem.SUBNETPOOL_AFFINITY: (400, "NetworkSubnetPoolAffinityError"),
    Problem.SUBNETPOOL_EMPTY: (400, "EmptySubnetPoolPrefixList"),
    Problem.SUBNETPOOL_VERSIONS: (400, "PrefixVersionMismatch"),
    Problem.SUBNETPOOL_BOUNDS: (400, "IllegalSubnetPoolPrefixBounds"),
    Problem.SUBNETPOOL_PREFIXES: (400, "IllegalSubnetPoolPrefixUpdate"),
    Problem.SUBNETPOOL_UPDATE: (400, "IllegalSubnetPoolUpdate"),
    Problem.SUBNETPOOL_DELETE: (400, "SubnetPoolDeleteError"),
    Problem.SUBNETPOOL_FULL: (409, "SubnetAllocationError"),
    Problem.SUBNETPOOL_QUOTA: (409, "SubnetPoolQuotaExceeded"),
    Problem.PREFIX_TOO_LONG: (400, "MaxPrefixSubnetAllocationError"),
    Problem.PREFIX_TOO_SHORT: (400, "MinPrefixSubnetAllocationError"),
    Problem.SCOPE_PREFIXES: (409, "AddressScopePrefixConflict"),
    Problem.SCOPE_VERSION: (400, "IllegalSubnetPoolIpVersionAssociationToAddressScope"),
    Problem.SCOPE_AFFINITY: (400, "NetworkAddressScopeAffinityError"),
    Problem.SCOPE_UPDATE: (400, "AddressScopeUpdateError"),
    Problem.SUBNET_SEGMENTS_MIXED: (400, "SubnetsNotAllAssociatedWithSegments"),
    Problem.SUBNET_SEGMENT_CHANGE: (400, "SubnetSegmentAssociationChangeNotAllowed"),
    Problem.SUBNET_SEGMENTS_MANY: (400, "NoUpdateSubnetWhenMultipleSegmentsOnNetwork"),
    Problem.SUBNET_SEGMENT_NETWORK: (400, "NetworkIdsDontMatch"),
    Problem.RANGE_TYPE: (400, "NetworkSegmentRangeNetTypeNotSupported"),
    Problem.RANGE_REFERENCED: (409, "NetworkSegmentRangeReferencedByProject"),
    Problem.RANGE_READ_ONLY: (400, "NetworkSegmentRangeDefaultReadOnly"),
    Problem.RANGE_OVERLAP: (409, "NetworkSegmentRangeOverlaps"),
    Problem.PORT_HAS_GROUPS: (409, "PortSecurityPortHasSecurityGroup"),
    Problem.GROUPS_NEED_SECURITY: (400, "PortSecurityAndIPRequiredForSecurityGroups"),
    Problem.PAIRS_NEED_SECURITY: (409, "AddressPairAndPortSecurityRequired"),
    Problem.PAIRS_TOO_MANY: (400, "AllowedAddressPairExhausted"),
    Problem.PAIR_WITHOUT_ADDRESS: (400, "AllowedAddressPairsMissingIP"),
    Problem.PAIR_TWICE: (400, "DuplicateAddressPairInRequest"),
    Problem.PORT_BOUND: (409, "PortBound"),
    Problem.PORT_BOUND_NUMA: (409, "PortBoundNUMAAffinityPolicy"),
    Problem.PORT_OF_SERVICE: (409, "ServicePortInUse"),
    Problem.DEVICE_OWNER_UNSUPPORTED: (409, "UnsupportedPortDeviceOwner"),
    Problem.DEVICE_OF_OTHERS: (409, "DeviceIDNotOwnedByTenant"),
    Problem.NO_MATCHING_SUBNET: (409, "IpAddressGenerationFailureNoMatchingSubnet"),
    Problem.BINDING_EXISTS: (409, "PortBindingAlreadyExists"),
    Problem.BINDING_ACTIVE: (409, "PortBindingAlreadyActive"),
    Problem.BINDING_FAILED: (409, "PortBindingError"),
    Problem.TRUNK_PORT_IN_USE: (409, "TrunkPortInUse"),
    Problem.PARENT_PORT_IN_USE: (409, "ParentPortInUse"),
    Problem.PORT_IS_TRUNK_PARENT: (409, "PortInUseAsTrunkParent"),
    Problem.PORT_IS_SUBPORT: (409, "PortInUseAsSubPort"),
    Problem.SUBPORT_TWICE: (409, "DuplicateSubPort"),
    Problem.SUBPORT_MTU: (409, "SubPortMtuGreaterThanTrunkPortMtu"),
    Problem.TRUNK_DISABLED: (409, "TrunkDisabled"),
    Problem.CIDR: (400, "InvalidCIDR"),
    Problem.SG_PROTOCOL: (400, "SecurityGroupRuleInvalidProtocol"),
    Problem.SG_ETHERTYPE: (400, "SecurityGroupRuleInvalidEtherType"),
    Problem.SG_PORT: (400, "SecurityGroupInvalidPortValue"),
    Problem.SG_PORT_RANGE: (400, "SecurityGroupInvalidPortRange"),
    Problem.SG_PORT_PROTOCOL: (400, "SecurityGroupInvalidProtocolForPort"),
    Problem.SG_PROTOCOL_NEEDED: (400, "SecurityGroupProtocolRequiredWithPorts"),
    Problem.SG_ICMP_VALUE: (400, "SecurityGroupInvalidIcmpValue"),
    Problem.SG_ICMP_TYPE_NEEDED: (400, "SecurityGroupMissingIcmpType"),
    Problem.SG_PROTOCOL_ETHERTYPE: (400, "SecurityGroupEthertypeConflictWithProtocol"),
    Problem.SG_PREFIX_ETHERTYPE: (400, "SecurityGroupRuleParameterConflict"),
    Problem.SG_REMOTES: (400, "SecurityGroupMultipleRemoteEntites"),
    Problem.SG_MANY_PROJECTS: (400, "SecurityGroupRulesNotSingleProject"),
    Problem.SG_MANY_GROUPS: (400, "SecurityGroupNotSingleGroupRules"),
    Problem.SG_RULE_TWICE: (409, "DuplicateSecurityGroupRuleInPost"),
    Problem.SG_RULE_EXISTS: (409, "SecurityGroupRuleExists"),
    Problem.SG_DEFAULT_EXISTS: (409, "SecurityGroupDefaultAlreadyExists"),
    Problem.SG_DEFAULT_STAYS: (409, "SecurityGroupCannotRemoveDefault"),
    Problem.SG_DEFAULT_NAME: (409, "SecurityGroupCannotUpdateDefault"),
    Problem.SG_CONFLICT: (409, "SecurityGroupConflict"),
    Problem.SG_TEMPLATE_TWICE: (409, "DuplicateDefaultSgRuleInPost"),
    Problem.SG_TEMPLATE_EXISTS: (409, "DefaultSecurityGroupRuleExists"),
    Problem.ADDRESSES_EXIST: (400, "AddressesAlreadyExist"),
    Problem.ADDRESSES_MISSING: (404, "AddressesNotFound"),
    Problem.QOS_RULE_CONFLICT: (409, "QoSRuleParameterConflict"),
    Problem.QOS_RULE_NOT_SUPPORTED: (409, "QosRuleNotSupported"),
    Problem.QOS_RULES_CONFLICT: (409, "QoSRulesConflict"),
    Problem.QOS_DEFAULT_EXISTS: (409, "QoSPolicyDefaultAlreadyExists"),
    Problem.LOG_TYPE: (400, "InvalidLogResourceType"),
    Problem.LOG_RESOURCE: (404, "ResourceNotFound"),
    Problem.LOG_TARGET: (404, "TargetResourceNotFound"),
    Problem.LOG_CONSTRAINT: (400, "InvalidResourceConstraint"),
    Problem.LOG_NOT_SUPPORTED: (409, "LoggingTypeNotSupported"),
    Problem.BINDING_MISSING: (404, "PortBindingNotFound"),
    Problem.SUBPORT_MISSING: (404, "SubPortNotFound"),
    Problem.SUBNET_OUTSIDE_VPC: (400, "CidrNotWithinNetworkCidr"),
    Problem.VPC_BLOCK_IN_USE: (409, "NetworkCidrInUse"),
    Problem.PEERING_OVERLAP: (409, "VpcPeeringOverlap"),
    Problem.PEERING_EXISTS: (409, "VpcPeeringExists"),
    Problem.PEERING_NEEDS_BLOCK: (409, "VpcPeeringNeedsCidr"),
    Problem.PEERING_STATE: (409, "VpcPeeringNotPending"),
    Problem.ACL_NUMBER_TAKEN: (409, "NetworkAclRuleNumberOccupied"),
    Problem.ACL_SUBNET_TAKEN: (409, "NetworkAclSubnetAssociated"),
    Problem.ACL_DEFAULT_EXISTS: (409, "NetworkAclDefaultExists"),
    Problem.RANGE_OUTSIDE_SUBNET: (400, "IpRangeOutsideSubnet"),
    Problem.ADDRESS_RANGES_OVERLAP: (409, "IpRangesOverlap"),
    Problem.ELASTIC_IP_RANGE_IN_USE: (409, "ElasticIpRangeInUse"),
    Problem.HOSTS_NOT_REGISTERED: (400, "HostsNotRegistered"),
    Problem.NCM_FULL: (409, "NcmFull"),
    Problem.FW_PORT_WITHOUT_PROTOCOL: (400, "FirewallRuleWithPortWithoutProtocolInvalid"),
    Problem.FW_PORT_PROTOCOL: (400, "FirewallRuleInvalidICMPParameter"),
    Problem.FW_PORT: (400, "FirewallRuleInvalidPortValue"),
    Problem.FW_ADDRESS: (400, "FirewallIpAddressConflict"),
    Problem.FW_DEFAULT_UPDATE: (409, "FirewallDefaultObjectUpdateRestricted"),
    Problem.FW_DEFAULT_NAME: (409, "FirewallDefaultParameterExists"),
    Problem.FW_DEFAULT_STAYS: (409, "FirewallGroupCannotRemoveDefault"),
    Problem.FW_RULE_SHARING: (404, "FirewallRuleSharingConflict"),
    Problem.FW_RULE_PROJECT: (409, "FirewallRuleConflict"),
    Problem.FW_RULE_THERE: (409, "FirewallRuleAlreadyAssociated"),
    Problem.FW_RULE_MISSING: (400, "FirewallRuleInfoMissing"),
    Problem.FW_RULE_NOT_THERE: (400, "FirewallRuleNotAssociatedWithPolicy"),
    Problem.FW_POLICY_SHARING: (409, "FirewallPolicySharingConflict"),
    Problem.FW_POLICY_PROJECT: (404, "FirewallPolicyConflict"),
    Problem.FW_PORT_OWNER: (409, "FirewallGroupPortInvalid"),
    Problem.FW_PORT_UNBOUND: (409, "FirewallGroupPortNotSupported"),
    Problem.FW_PORT_IN_USE: (409, "FirewallGroupPortInUse"),
    Problem.BGP_PASSWORD_MISSING: (400, "InvalidBgpPeerMd5Authentication"),
    Problem.BGP_NOT_AUTHENTICATED: (404, "BgpPeerNotAuthenticated"),
    Problem.BGP_PEER_TWICE: (409, "DuplicateBgpPeerIpException"),
    Problem.BGP_PEER_MISSING: (404, "BgpSpeakerPeerNotAssociated"),
    Problem.BGP_NETWORK_TWICE: (409, "BgpSpeakerNetworkBindingError"),
    Problem.BGP_NETWORK_MISSING: (404, "BgpSpeakerNetworkNotAssociated"),
    Problem.TAP_PORT_OF_OTHERS: (403, "PortDoesNotBelongToTenant"),
    Problem.TAP_SERVICE_OF_OTHERS: (403, "TapServiceNotBelongToTenant"),
    Problem.TAP_TUNNEL_TAKEN: (409, "TapMirrorTunnelConflict"),
    Problem.BGPVPN_PROJECT: (403, "NotAuthorized"),
    Problem.BGPVPN_NETWORK_THERE: (400, "BGPVPNNetAssocAlreadyExists"),
    Problem.BGPVPN_ROUTER_THERE: (400, "BGPVPNRouterAssocAlreadyExists"),
    Problem.BGPVPN_PORT_THERE: (400, "BGPVPNPortAssocAlreadyExists"),
    Problem.BGPVPN_ROUTE_MISSING: (400, "BGPVPNPortAssocRouteNoSuchBGPVPN"),
    Problem.BGPVPN_ROUTE_TYPE: (400, "BGPVPNPortAssocRouteBGPVPNTypeDiffer"),
    Problem.BGPVPN_ROUTE_PROJECT: (400, "BGPVPNPortAssocRouteWrongBGPVPNProject"),
    Problem.VPN_IKE_POLICY_IN_USE: (409, "IKEPolicyInUse"),
    Problem.VPN_IPSEC_POLICY_IN_USE: (409, "IPsecPolicyInUse"),
    Problem.VPN_SERVICE_IN_USE: (409, "VPNServiceInUse"),
    Problem.VPN_GROUP_IN_USE: (400, "EndpointGroupInUse"),
    Problem.VPN_ROUTER_INNER: (400, "RouterIsNotExternal"),
    Problem.VPN_SUBNET_ELSEWHERE: (400, "SubnetIsNotConnectedToRouter"),
    Problem.VPN_FLAVOR_TYPE: (400, "InvalidServiceType"),
    Problem.VPN_NO_ENDPOINTS: (400, "MissingEndpointForEndpointGroup"),
    Problem.VPN_ENDPOINT: (400, "InvalidEndpointInEndpointGroup"),
    Problem.VPN_ENDPOINT_MISSING: (400, "NonExistingSubnetInEndpointGroup"),
    Problem.VPN_SUBNET_OF_SERVICE: (409, "SubnetInUseByVPNService"),
    Problem.VPN_SUBNET_OF_GROUP: (409, "SubnetInUseByEndpointGroup"),
    Problem.VPN_SUBNET_OF_CONNECTION: (409, "SubnetInUseByIPsecSiteConnection"),
    Problem.VPN_DPD: (400, "IPsecSiteConnectionDpdIntervalValueError"),
    Problem.VPN_MTU: (400, "IPsecSiteConnectionMtuError"),
    Problem.VPN_NO_PEER_CIDRS: (400, "MissingPeerCidrs"),
    Problem.VPN_GROUP_AND_SUBNET: (400, "InvalidEndpointGroup"),
    Problem.VPN_PEER_CIDRS: (400, "PeerCidrsInvalid"),
    Problem.VPN_GROUP_MISSING: (400, "MissingRequiredEndpointGroup"),
    Problem.VPN_MIXED_CIDRS: (400, "MixedIPVersionsForPeerCidrs"),
    Problem.VPN_MIXED_ENDPOINTS: (400, "MixedIPVersionsForIPSecEndpoints"),
    Problem.VPN_MIXED_ENDS: (400, "MixedIPVersionsForIPSecConnection"),
    Problem.VPN_GROUP_TYPE: (400, "WrongEndpointGroupType"),
    Problem.VPN_PEER_ADDRESS: (400, "VPNPeerAddressNotResolved"),
    Problem.VPN_PEER_VERSION: (400, "ExternalNetworkHasNoSubnet"),
    Problem.FC_PROTOCOL: (400, "FlowClassifierInvalidProtocol"),
    Problem.FC_ETHERTYPE: (400, "FlowClassifierInvalidEthertype"),
    Problem.FC_PORT: (400, "FlowClassifierInvalidPortValue"),
    Problem.FC_PORT_RANGE: (400, "FlowClassifierInvalidPortRange"),
    Problem.FC_PORT_PROTOCOL: (400, "FlowClassifierProtocolRequiredWithPorts"),
    Problem.FC_PREFIX: (400, "FlowClassifierIpPrefixFormatConflictWithEthertype"),
    Problem.FC_LOGICAL_PORT: (404, "FlowClassifierPortNotFound"),
    Problem.FC_CONFLICT: (400, "FlowClassifierInConflict"),
    Problem.FC_L7: (400, "FlowClassifierInvalidL7Parameter"),
    Problem.SFC_PORT_MISSING: (404, "PortPairPortNotFound"),
    Problem.SFC_INGRESS_NO_HOST: (400, "PortPairIngressNoHost"),
    Problem.SFC_EGRESS_NO_HOST: (400, "PortPairEgressNoHost"),
    Problem.SFC_TWO_HOSTS: (400, "PortPairIngressEgressDifferentHost"),
    Problem.SFC_PAIR_THERE: (400, "PortPairIngressEgressInUse"),
    Problem.SFC_CORRELATIONS: (400, "InconsistentCorrelations"),
    Problem.SFC_TAP_PAIRS: (400, "MultiplePortPairsInTapPPGNotSupported"),
    Problem.SFC_TAPS: (400, "ConsecutiveTapPPGNotSupported"),
    Problem.SFC_NO_GROUPS: (400, "PortPairGroupNotSpecified"),
    Problem.SFC_SAME_GROUPS: (409, "InvalidPortPairGroups"),
    Problem.SFC_CHAIN_CORRELATION: (400, "PortChainInconsistentCorrelations"),
    Problem.SFC_FLOWS: (400, "PortChainFlowClassifierInConflict"),
    Problem.SFC_CHAIN_NUMBER: (400, "PortChainChainIdInConflict"),
    Problem.SFC_CHAIN_NUMBERS: (400, "PortChainUnavailableChainId"),
}

# Stands for the name of the resource an error is about.
_RESOURCE = "<Resource>"

# What no rule and no pool gives a type of its own; the first class that fits.
_BY_CLASS: tuple[tuple[type[AlcorError], int, str], ...] = (
    (InvalidInput, 400, "InvalidInput"),
    (Unauthenticated, 401, "Unauthorized"),
    (Forbidden, 403, "PolicyNotAuthorized"),
    (NotFound, 404, f"{_RESOURCE}NotFound"),
    (InUse, 409, f"{_RESOURCE}InUse"),
    (Conflict, 409, "HTTPConflict"),
    (QuotaExceeded, 409, "OverQuota"),
    (StaleRevision, 412, "RevisionNumberConstraintFailed"),
    (Exhausted, 503, "ResourceExhausted"),
    (Unavailable, 503, "ServiceUnavailable"),
)

ERROR_TYPES: tuple[str, ...] = tuple(
    sorted(
        {name for _, name in _BY_PROBLEM.values()}
        | set(HTTP_TYPES.values())
        | {name for _, status, name in _BY_CLASS if _RESOURCE not in name and status != 401}
        | {"HTTPInternalServerError"}
    )
)
"""Every `type` that does not name a resource; the others are <Resource>NotFound and <Resource>InUse."""


class Refused(AlcorError):
    """The edge itself refuses a request: wrong path, method, size, form or encoding."""

    def __init__(self, status: int, reason: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.headers = status, dict(headers or {})


class InItem(AlcorError):
    """One item of a bulk request is wrong; `where` says which."""

    def __init__(self, where: str, error: AlcorError) -> None:
        super().__init__(error.message)
        self.where, self.error = where, error


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it leaves: `body` is encoded as JSON."""

    status: int
    type: str
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def bad_request(reason: str) -> Refused:
    """A 400 with the reference's type for malformed requests."""
    return Refused(400, reason)


def type_name(kind: str) -> str:
    """The resource's part of an error type: "mac_range" → "MacRange"."""
    return "".join(word[:1].upper() + word[1:] for word in kind.replace("-", "_").split("_"))


def failure_of(error: AlcorError, *, realm: str) -> Failure:
    """The answer to `error`. `realm`: the URL at which a client asks for a token."""
    if isinstance(error, InItem):
        inner = failure_of(error.error, realm=realm)
        return _failure(inner.status, inner.type, _sentence(error.error), error.where, inner.headers)
    if isinstance(error, Unauthenticated):
        return _unauthenticated(error, error.realm or realm)
    status, name = _status_and_type(error)
    return _failure(status, name, _sentence(error), error.detail, _headers(error))


def internal_error(request_id: str) -> Failure:
    """The answer to a bug of ours: no detail but the id under which it is logged."""
    return _failure(
        500,
        "HTTPInternalServerError",
        f"Request Failed: internal server error. It is logged under {request_id}.",
        "",
        {},
    )


def _status_and_type(error: AlcorError) -> tuple[int, str]:
    if isinstance(error, Refused):
        return error.status, HTTP_TYPES[error.status]
    if error.problem is not Problem.GENERIC:
        return _BY_PROBLEM[error.problem]
    for kind, status, name in _BY_CLASS:
        if isinstance(error, kind):
            return status, name.replace(_RESOURCE, type_name(getattr(error, "kind", "")))
    raise TypeError(f"no answer is declared for {type(error).__name__}") from error


def _headers(error: AlcorError) -> Mapping[str, str]:
    if isinstance(error, Refused):
        return error.headers
    if isinstance(error, Unavailable) and error.undone:
        return {"Retry-After": str(error.retry_after_s)}
    return {}


def _sentence(error: AlcorError) -> str:
    if isinstance(error, InvalidInput) and error.attribute:
        reason = error.reason.rstrip(".")
        return f"Invalid input for {error.attribute}. Reason: {reason}."
    if isinstance(error, Unavailable) and not error.undone:
        return (
            "The service became unavailable while the request was being kept, and it is not known whether it was. "
            "Look before sending it again."
        )
    if isinstance(error, Unavailable):
        # The reason may name files and hosts of ours; it is in the log, under the request's id.
        return (
            "The service is unavailable; nothing of the request was kept. "
            f"Send it again in {error.retry_after_s} s."
        )
    return error.message


def _failure(status: int, name: str, message: str, detail: str, headers: Mapping[str, str]) -> Failure:
    if len(message) > _MESSAGE_CHARS_MAX:
        message = f"{message[: _MESSAGE_CHARS_MAX // 2]} … {message[-_MESSAGE_CHARS_MAX // 2 :]}"
    body = {"NeutronError": {"type": name, "message": message, "detail": detail}}
    return Failure(status, name, body, headers)


def _unauthenticated(error: Unauthenticated, realm: str) -> Failure:
    """The body the identity service's middleware gives, not a NeutronError."""
    body = {"error": {"code": 401, "title": "Unauthorized", "message": error.message}}
    return Failure(401, "Unauthorized", body, {"WWW-Authenticate": f'Keystone uri="{realm}"'})


def reference() -> str:
    """The page docs/reference/errors.md, in Markdown."""
    rules = [(problem.value.replace("_", " "), *answer) for problem, answer in _BY_PROBLEM.items()]
    classes = [((kind.__doc__ or "").split("\n")[0], status, name) for kind, status, name in _BY_CLASS]
    edge = [("what the edge itself refuses", status, name) for status, name in HTTP_TYPES.items()]
    edge.append(("an error of the region, logged under the request's id", 500, "HTTPInternalServerError"))
    lines = [
        "<!-- Made by bin/docs from src/alcor/api/errors.py; edit that, then run it. -->",
        "",
        "# Errors",
        "",
        'Every error but a 401 has the body `{"NeutronError": {"type", "message", "detail"}}`; clients tell errors '
        "apart by `type`. In a bulk request `detail` names the item, such as `ports[3]`. A 401 has the body "
        '`{"error": {"code", "title", "message"}}` and the header `WWW-Authenticate`; a 503 after which '
        "the same request may succeed has `Retry-After`. "
        f"`{_RESOURCE}` is the resource's name, such as `Port`. The first row that fits counts.",
        "",
        "| status | type | when |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {status} | `{name}` | {when} |" for when, status, name in [*edge, *rules, *classes]]
    return "\n".join(lines) + "\n"
