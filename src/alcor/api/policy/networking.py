"""Rules of the Networking API that do not follow from a declaration: who owns the network, services, managers.

Noun of the rule → short key → text. A key with an attribute counts only if the resource has the attribute; a
resource's own `policy` comes after these.

Source: default rules of the reference server, release 2026.1.
"""

from collections.abc import Mapping

_ANYONE = "role:reader"
# The reference lets services alone set these; the compute service of many clouds still comes with the admin role.
_SERVICE = "rule:admin_or_service"
_MANAGER = "rule:admin_or_project_manager"
_NET_MEMBER = "rule:admin_or_service or rule:network_owner_member"
_ON_SHARED = f"{_NET_MEMBER} or rule:shared"
_MEMBER_OR_SERVICE = "rule:admin_or_project_member or rule:service_api"
_OWN_OR_NET_MEMBER = "rule:admin_or_project_member or rule:network_owner_member"
_DEVICE_OWNER = f"not rule:network_device or {_NET_MEMBER}"
_WILDCARD = "rule:restrict_wildcard"

_PORT: Mapping[str, str] = {
    "create": _MEMBER_OR_SERVICE,
    "get": "rule:admin_or_service or rule:network_owner_reader or rule:project_reader",
    "update": _MEMBER_OR_SERVICE,
    "delete": f"{_NET_MEMBER} or rule:project_member",
    "create:device_id": _MEMBER_OR_SERVICE,
    "create:device_owner": _DEVICE_OWNER,
    "create:mac_address": _NET_MEMBER,
    "create:fixed_ips": _ON_SHARED,
    "create:fixed_ips:ip_address": _NET_MEMBER,
    "create:fixed_ips:subnet_id": _ON_SHARED,
    "create:port_security_enabled": _NET_MEMBER,
    "create:binding:host_id": "rule:admin_or_service",
    "create:binding:profile": _SERVICE,
    "create:binding:vnic_type": _MEMBER_OR_SERVICE,
    "create:allowed_address_pairs": _NET_MEMBER,
    "create:allowed_address_pairs:mac_address": _NET_MEMBER,
    "create:allowed_address_pairs:ip_address": _NET_MEMBER,
    "get:binding:vif_type": "rule:admin_or_service",
    "get:binding:vif_details": "rule:admin_or_service",
    "get:binding:host_id": "rule:admin_or_service",
    "get:binding:profile": "rule:admin_or_service",
    "update:device_id": _MEMBER_OR_SERVICE,
    "update:device_owner": _DEVICE_OWNER,
    # Changing a port's address is a manager's on the network, giving one at creation a member's.
    "update:mac_address": "rule:admin_or_service or (role:manager and rule:network_owner)",
    "update:fixed_ips": _NET_MEMBER,
    "update:fixed_ips:ip_address": _NET_MEMBER,
    "update:fixed_ips:subnet_id": _ON_SHARED,
    "update:port_security_enabled": _NET_MEMBER,
    "update:binding:host_id": "rule:admin_or_service",
    "update:binding:profile": _SERVICE,
    "update:binding:vnic_type": _MEMBER_OR_SERVICE,
    "update:allowed_address_pairs": _NET_MEMBER,
    "update:allowed_address_pairs:mac_address": _NET_MEMBER,
    "update:allowed_address_pairs:ip_address": _NET_MEMBER,
    # They change what an update of the attribute changes, and need the same right.
    "add_allowed_address_pairs": _NET_MEMBER,
    "remove_allowed_address_pairs": _NET_MEMBER,
    "update:data_plane_status": "rule:admin_or_data_plane_int",
}

_QOS_RULE: Mapping[str, str] = {
    "create": "rule:admin_or_parent_manager",
    "update": "rule:admin_or_parent_manager",
    "delete": "rule:admin_or_parent_manager",
}

NETWORKING: Mapping[str, Mapping[str, str]] = {
    "address_group": {"get": "rule:admin_or_project_reader or rule:shared_address_groups"},
    "address_scope": {"get": "rule:admin_or_project_reader or rule:shared_address_scopes"},
    "auto_allocated_topology": {"get": "rule:admin_or_project_reader"},
    "availability_zone": {"get": _ANYONE},
    "default_security_group_rule": {"get": _ANYONE},
    "flavor": {"get": _ANYONE},
    "floatingip": {"create:floating_ip_address": _MANAGER},
    "log": dict.fromkeys(("create", "get", "update", "delete"), _MANAGER),
    "loggable_resource": {"get": _MANAGER},
    "metering_label": dict.fromkeys(("create", "delete"), _MANAGER),
    "metering_label_rule": dict.fromkeys(("create", "delete"), _MANAGER),
    "network": {
        "get": (
            "rule:admin_or_project_reader or rule:service_api or rule:shared or rule:external "
            "or rule:context_is_advsvc"
        ),
        "create:port_security_enabled": "rule:admin_or_project_member",
        "update:port_security_enabled": "rule:admin_or_project_member",
    },
    "network_ip_availability": {"get": "rule:admin_or_service"},
    "policy": {
        "get": "rule:admin_or_project_reader or rule:shared_qos_policy",
        "create": _MANAGER,
        "update": _MANAGER,
        "delete": _MANAGER,
    },
    "policy_bandwidth_limit_rule": _QOS_RULE,
    "policy_dscp_marking_rule": _QOS_RULE,
    "policy_minimum_bandwidth_rule": _QOS_RULE,
    "policy_minimum_packet_rate_rule": _QOS_RULE,
    "policy_packet_rate_limit_rule": _QOS_RULE,
    "port": _PORT,
    "port_binding": {
        "create": _SERVICE,
        "get": "rule:admin_or_service",
        "update": _SERVICE,
        "delete": _SERVICE,
        "activate": _SERVICE,
    },
    "quota": {"get": _MANAGER, "update": "rule:admin_only", "delete": "rule:admin_only"},
    "rbac_policy": {
        "create:target_tenant": _WILDCARD,
        "create:target_project": _WILDCARD,
        "update:target_tenant": _WILDCARD,
        "update:target_project": _WILDCARD,
    },
    "router": {
        "create:external_gateway_info:enable_snat": "rule:admin_only",
        "create:external_gateway_info:external_fixed_ips": "rule:admin_only",
        "update:external_gateway_info:enable_snat": "rule:admin_only",
        "update:external_gateway_info:external_fixed_ips": "rule:admin_only",
        "add_router_interface": "rule:admin_or_project_member",
        "remove_router_interface": "rule:admin_or_project_member",
        "add_extraroutes": "rule:admin_or_project_member",
        "remove_extraroutes": "rule:admin_or_project_member",
        "add_external_gateways": "rule:admin_or_project_member",
        "add_external_gateways:external_gateways:enable_snat": "rule:admin_only",
        "add_external_gateways:external_gateways:external_fixed_ips": "rule:admin_only",
        "update_external_gateways": "rule:admin_or_project_member",
        "update_external_gateways:external_gateways:enable_snat": "rule:admin_only",
        "update_external_gateways:external_gateways:external_fixed_ips": "rule:admin_only",
        "remove_external_gateways": "rule:admin_or_project_member",
    },
    "rule_type": {"get": _ANYONE},
    "security_group": {"get": "rule:admin_or_project_reader or rule:shared_security_group"},
    "security_group_rule": {
        "create": "rule:admin_only or rule:sg_owner_member",
        "get": "rule:admin_only or rule:sg_owner_reader",
        "delete": "rule:admin_only or rule:sg_owner_member",
    },
    "service_provider": {"get": _ANYONE},
    "subnet": {
        "create": "rule:admin_only or rule:network_owner_member",
        "get": (
            "rule:admin_or_project_reader or rule:shared or rule:external_network or rule:network_owner_reader "
            "or rule:service_api"
        ),
        "update": _OWN_OR_NET_MEMBER,
        "delete": _OWN_OR_NET_MEMBER,
        "create:segment_id": "rule:admin_only",
        "create:service_types": "rule:admin_only",
        "get:segment_id": "rule:admin_only",
        "update:segment_id": "rule:admin_only",
        "update:service_types": "rule:admin_only",
    },
    "subnetpool": {
        "get": "rule:admin_or_project_reader or rule:shared_subnetpools",
        "add_prefixes": "rule:admin_or_project_member",
        "remove_prefixes": "rule:admin_or_project_member",
        "onboard_network_subnets": "rule:admin_or_project_member",
    },
    "trunk": {
        "get_subports": "rule:admin_or_project_reader",
        "add_subports": "rule:admin_or_project_member",
        "remove_subports": "rule:admin_or_project_member",
    },
}
