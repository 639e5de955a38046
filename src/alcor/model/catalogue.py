"""Every resource there is. The store renders its schema from this list; order: parents before children."""

from alcor.model.address_claim import ADDRESS_CLAIM
from alcor.model.address_group import ADDRESS_GROUP
from alcor.model.address_scope import ADDRESS_SCOPE
from alcor.model.auto_topology import AUTO_TOPOLOGY
from alcor.model.bgp import BGP
from alcor.model.bgpvpn import BGPVPNS
from alcor.model.conntrack_helper import CONNTRACK_HELPER
from alcor.model.default_security_group_rule import DEFAULT_SECURITY_GROUP_RULE
from alcor.model.elastic_ip_range import ELASTIC_IP_RANGE
from alcor.model.epoch_release import EPOCH_RELEASE
from alcor.model.firewall import FIREWALL
from alcor.model.flavor import FLAVOR, SERVICE_PROFILE
from alcor.model.floatingip import FLOATINGIP
from alcor.model.flow_classifier import FLOW_CLASSIFIER
from alcor.model.gateway_standing import GATEWAY_STANDING
from alcor.model.host import HOST
from alcor.model.host_invite import HOST_INVITE
from alcor.model.ip_allocation import IP_ALLOCATION
from alcor.model.ip_range import IP_RANGE
from alcor.model.local_ip import LOCAL_IP, LOCAL_IP_ASSOCIATION
from alcor.model.log import LOG
from alcor.model.mac_allocation import MAC_ALLOCATION
from alcor.model.mac_range import MAC_RANGE
from alcor.model.metering import METERING_LABEL, METERING_LABEL_RULE
from alcor.model.ncm import NCM
from alcor.model.ndp_proxy import NDP_PROXY
from alcor.model.network import NETWORK
from alcor.model.network_acl import NETWORK_ACL, NETWORK_ACL_RULE
from alcor.model.network_segment_range import NETWORK_SEGMENT_RANGE
from alcor.model.port import PORT
from alcor.model.port_chain import CHAINS
from alcor.model.port_forwarding import PORT_FORWARDING
from alcor.model.qos_policy import QOS_POLICY
from alcor.model.qos_rule import QOS_RULES
from alcor.model.quota import QUOTA
from alcor.model.rbac_policy import RBAC_POLICY
from alcor.model.region_authority import REGION_AUTHORITY
from alcor.model.region_setting import REGION_SETTING
from alcor.model.rescue_lease import RESCUE_LEASE
from alcor.model.resource import Entity, Resource
from alcor.model.route_table import ROUTE_TABLE
from alcor.model.router import ROUTER
from alcor.model.security_group import SECURITY_GROUP
from alcor.model.security_group_rule import SECURITY_GROUP_RULE
from alcor.model.segment import SEGMENT
from alcor.model.subnet import SUBNET
from alcor.model.subnetpool import SUBNETPOOL
from alcor.model.tap import TAPS
from alcor.model.token import TOKEN
from alcor.model.trunk import TRUNK
from alcor.model.vpc_peering import VPC_PEERING
from alcor.model.vpn import VPN

RESOURCES: tuple[Resource, ...] = (
    TOKEN,
    QUOTA,
    SERVICE_PROFILE,
    FLAVOR,
    RBAC_POLICY,
    MAC_RANGE,
    NCM,
    HOST,
    HOST_INVITE,
    REGION_AUTHORITY,
    GATEWAY_STANDING,
    EPOCH_RELEASE,
    REGION_SETTING,
    RESCUE_LEASE,
    QOS_POLICY,
    *QOS_RULES.values(),
    SECURITY_GROUP,
    ADDRESS_GROUP,
    SECURITY_GROUP_RULE,
    DEFAULT_SECURITY_GROUP_RULE,
    LOG,
    NETWORK_SEGMENT_RANGE,
    NETWORK,
    SEGMENT,
    ADDRESS_SCOPE,
    SUBNETPOOL,
    SUBNET,
    VPC_PEERING,
    ROUTE_TABLE,
    NETWORK_ACL,
    NETWORK_ACL_RULE,
    MAC_ALLOCATION,
    IP_RANGE,
    IP_ALLOCATION,
    PORT,
    ADDRESS_CLAIM,
    TRUNK,
    ROUTER,
    CONNTRACK_HELPER,
    ELASTIC_IP_RANGE,
    FLOATINGIP,
    PORT_FORWARDING,
    NDP_PROXY,
    LOCAL_IP,
    LOCAL_IP_ASSOCIATION,
    METERING_LABEL,
    METERING_LABEL_RULE,
    AUTO_TOPOLOGY,
    *FIREWALL,
    *BGP,
    *TAPS,
    *BGPVPNS,
    *VPN,
    FLOW_CLASSIFIER,
    *CHAINS,
)
BY_ENTITY: dict[type[Entity], Resource] = {resource.entity: resource for resource in RESOURCES}
BY_NAME: dict[str, Resource] = {resource.name: resource for resource in RESOURCES}
