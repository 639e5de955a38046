"""The named rules that others are made of, under the names and with the meaning operators know.

Source: the reference server's default rules, release 2026.1 (policies `base`, `port`, `network`, `subnet`,
        `security_group`, `rbac` and the library's `policy.rules`). The forms with `project_`, `parent_` and
        `network_owner_` have no name there, only a text that is repeated; here they are rules of their own.
"""

from collections.abc import Mapping

BASE_RULES: Mapping[str, str] = {
    "context_is_admin": "role:admin",
    "context_with_global_access": "!",
    "context_can_set_project_id": "!",
    "context_is_advsvc": "role:advsvc",
    "service_api": "role:service",
    "admin_only": "rule:context_is_admin",
    "regular_user": "",
    "default": "rule:admin_or_owner",
    # Who owns the thing itself.
    "owner": "project_id:%(project_id)s",
    "admin_or_owner": "rule:context_is_admin or rule:owner",
    "project_reader": "role:reader and project_id:%(project_id)s",
    "project_member": "role:member and project_id:%(project_id)s",
    "project_manager": "role:manager and project_id:%(project_id)s",
    "admin_or_project_reader": "rule:admin_only or rule:project_reader",
    "admin_or_project_member": "rule:admin_only or rule:project_member",
    "admin_or_project_manager": "rule:admin_only or rule:project_manager",
    "admin_or_service": "rule:admin_only or rule:service_api",
    # Who owns the thing it is a part of.
    "ext_parent_owner": "project_id:%(ext_parent:project_id)s",
    "admin_or_ext_parent_owner": "rule:context_is_admin or rule:ext_parent_owner",
    "parent_reader": "role:reader and rule:ext_parent_owner",
    "parent_member": "role:member and rule:ext_parent_owner",
    "parent_manager": "role:manager and rule:ext_parent_owner",
    "admin_or_parent_reader": "rule:admin_only or rule:parent_reader",
    "admin_or_parent_member": "rule:admin_only or rule:parent_member",
    "admin_or_parent_manager": "rule:admin_only or rule:parent_manager",
    # Who owns the network it is on.
    "network_owner": "project_id:%(network:project_id)s",
    "admin_or_network_owner": "rule:context_is_admin or rule:network_owner",
    "admin_owner_or_network_owner": "rule:owner or rule:admin_or_network_owner",
    "network_owner_reader": "role:reader and rule:network_owner",
    "network_owner_member": "role:member and rule:network_owner",
    # Who owns the security group it is in.
    "sg_owner": "project_id:%(security_group:project_id)s",
    "admin_or_sg_owner": "rule:context_is_admin or rule:sg_owner",
    "admin_owner_or_sg_owner": "rule:owner or rule:admin_or_sg_owner",
    "sg_owner_reader": "role:reader and rule:sg_owner",
    "sg_owner_member": "role:member and rule:sg_owner",
    # What everybody may see.
    "shared": "field:networks:shared=True",
    "external": "field:networks:router:external=True",
    "external_network": "field:subnets:router:external=True",
    "shared_address_groups": "field:address_groups:shared=True",
    "shared_address_scopes": "field:address_scopes:shared=True",
    "shared_qos_policy": "field:policies:shared=True",
    "shared_security_group": "field:security_groups:shared=True",
    "shared_subnetpools": "field:subnetpools:shared=True",
    # What a thing is.
    "network_device": "field:port:device_owner=~^network:",
    "compute_device": "field:port:device_owner=~^compute:",
    "baremetal_device": "field:port:device_owner=~^baremetal:",
    "manila_device": "field:port:device_owner=~^manila:",
    "rule_default_sg": "field:security_group_rules:belongs_to_default_sg=True",
    "admin_or_data_plane_int": "rule:context_is_admin or role:data_plane_integrator",
    "restrict_wildcard": (
        "(not field:rbac_policy:target_tenant=* and not field:rbac_policy:target_project=*) or rule:admin_only"
    ),
}
"""Rule name → text."""
