"""The client's commands for networks, subnets, ports, security groups and sharing: the table's first half."""

from tests.compat.openstack_shell import Step

NETWORKS = [
    Step(
        words="network create red --description first --mtu 1400 --tag blue --tag green",
        shows={"name": "red", "mtu": 1400, "status": "ACTIVE", "tags": ["blue", "green"], "shared": False},
        keeps={"red": "id"},
    ),
    Step(
        words="network create wide --share --disable --disable-port-security --dns-domain example.org.",
        shows={
            "shared": True,
            "admin_state_up": False,
            "port_security_enabled": False,
            "dns_domain": "example.org.",
        },
    ),
    Step(
        words="network create out --external --default",
        shows={"router:external": True, "is_default": True},
    ),
    Step(words="network list --external", includes={"Name": ["out"]}, lacks={"Name": ["red", "wide"]}),
    Step(words="network list --internal", includes={"Name": ["red", "wide"]}, lacks={"Name": ["out"]}),
    Step(words="network list --share --disable", rows={"Name": ["wide"]}),
    Step(words="network list --name red --long", rows={"ID": ["{red}"], "Status": ["ACTIVE"]}),
    Step(words="network list --tags blue,green", rows={"Name": ["red"]}),
    Step(words="network list --any-tags blue,black", rows={"Name": ["red"]}),
    Step(words="network list --not-tags blue,green", includes={"Name": ["wide"]}, lacks={"Name": ["red"]}),
    Step(
        words="network list --not-any-tags blue,black", includes={"Name": ["wide"]}, lacks={"Name": ["red"]}
    ),
    Step(words="network list", who="devstack", includes={"Name": ["wide", "out"]}, lacks={"Name": ["red"]}),
    Step(words="network show red", who="devstack", fails="No Network found for red"),
    Step(words="network set red --name crimson --mtu 1300 --description second --share --tag black"),
    Step(
        words="network show crimson",
        shows={"mtu": 1300, "description": "second", "shared": True, "tags": ["black", "blue", "green"]},
    ),
    Step(words="network unset crimson --tag blue"),
    Step(words="network show crimson", shows={"tags": ["black", "green"]}),
    Step(words="network set crimson --no-tag --tag white --no-share --disable"),
    Step(words="network show {red}", shows={"tags": ["white"], "admin_state_up": False}),
    Step(words="network unset crimson --all-tag"),
    Step(words="network show {red}", shows={"tags": []}),
    Step(words="network delete crimson wide out"),
    Step(words="network show {red}", fails="No Network found for {red}"),
]

SUBNETS = [
    Step(words="network create red"),
    Step(
        words="subnet create four --network red --subnet-range 10.1.0.0/24 --gateway 10.1.0.254"
        " --allocation-pool start=10.1.0.10,end=10.1.0.20 --dns-nameserver 9.9.9.9"
        " --host-route destination=10.9.0.0/16,gateway=10.1.0.7 --service-type compute:nova --tag a",
        shows={
            "gateway_ip": "10.1.0.254",
            "allocation_pools": [{"start": "10.1.0.10", "end": "10.1.0.20"}],
            "dns_nameservers": ["9.9.9.9"],
            "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.1.0.7"}],
            "service_types": ["compute:nova"],
            "tags": ["a"],
            "enable_dhcp": True,
        },
        keeps={"four": "id"},
    ),
    Step(
        words="subnet create six --network red --ip-version 6 --subnet-range fd00:1::/64"
        " --ipv6-ra-mode slaac --ipv6-address-mode slaac --gateway none",
        shows={"ip_version": 6, "ipv6_ra_mode": "slaac", "gateway_ip": None},
    ),
    Step(
        words="subnet create bad --network red --subnet-range 10.1.0.0/25",
        fails="10.1.0.0/25",
    ),
    Step(words="subnet list --network red", rows={"Name": ["four", "six"]}),
    Step(words="subnet list --ip-version 6 --network red", rows={"Subnet": ["fd00:1::/64"]}),
    Step(words="subnet list --subnet-range 10.1.0.0/24 --dhcp --long", rows={"ID": ["{four}"]}),
    Step(words="subnet list --gateway 10.1.0.254", rows={"Name": ["four"]}),
    Step(words="subnet list --tags a", rows={"Name": ["four"]}),
    Step(
        words="subnet set four --name fore --no-dhcp --gateway 10.1.0.1 --dns-nameserver 8.8.8.8"
        " --allocation-pool start=10.1.0.30,end=10.1.0.40"
    ),
    Step(
        words="subnet show fore",
        shows={
            "enable_dhcp": False,
            "gateway_ip": "10.1.0.1",
            "dns_nameservers": ["8.8.8.8", "9.9.9.9"],
            "allocation_pools": lambda pools: {"start": "10.1.0.30", "end": "10.1.0.40"} in pools,
        },
    ),
    Step(
        words="subnet unset fore --dns-nameserver 9.9.9.9 --service-type compute:nova --tag a"
        " --host-route destination=10.9.0.0/16,gateway=10.1.0.7"
    ),
    Step(
        words="subnet show fore",
        shows={"dns_nameservers": ["8.8.8.8"], "service_types": [], "host_routes": [], "tags": []},
    ),
    Step(words="subnet delete fore six"),
    Step(words="subnet list --network red", rows={"Name": []}),
    Step(words="network delete red"),
]

SUBNET_POOLS = [
    Step(words="address scope create inside --ip-version 4 --share", shows={"ip_version": 4, "shared": True}),
    Step(words="address scope create outside", keeps={"outside": "id"}),
    Step(words="address scope list --ip-version 4", rows={"Name": ["inside", "outside"]}),
    Step(words="address scope list --share", rows={"Name": ["inside"]}),
    Step(words="address scope set outside --name beyond --share"),
    Step(words="address scope show {outside}", shows={"name": "beyond", "shared": True}),
    Step(
        words="subnet pool create pool --pool-prefix 10.20.0.0/16 --default-prefix-length 26"
        " --min-prefix-length 24 --max-prefix-length 28 --address-scope inside --tag a",
        shows={
            "prefixes": ["10.20.0.0/16"],
            "default_prefixlen": 26,
            "min_prefixlen": 24,
            "max_prefixlen": 28,
            "ip_version": 4,
            "tags": ["a"],
        },
        keeps={"pool": "id"},
    ),
    Step(words="subnet pool list --address-scope inside --long", rows={"Name": ["pool"]}),
    Step(words="subnet pool list --tags a --no-share", rows={"ID": ["{pool}"]}),
    Step(words="network create red"),
    Step(
        words="subnet create taken --network red --subnet-pool pool",
        shows={
            "cidr": lambda cidr: cidr.startswith("10.20.") and cidr.endswith("/26"),
            "subnetpool_id": "{pool}",
        },
    ),
    Step(
        words="subnet create wanted --network red --subnet-pool pool --subnet-range 10.20.9.0/24",
        shows={"cidr": "10.20.9.0/24"},
    ),
    Step(words="subnet create long --network red --subnet-pool pool --prefix-length 30", fails="30"),
    Step(words="network show red", shows={"ipv4_address_scope": lambda scope: scope is not None}),
    Step(words="subnet list --subnet-pool pool", rows={"Name": ["taken", "wanted"]}),
    Step(words="subnet pool delete pool", fails="pool"),
    Step(
        words="subnet pool set pool --name lake --pool-prefix 10.21.0.0/16 --default-prefix-length 27 --tag b"
    ),
    Step(
        words="subnet pool show lake",
        # Prefixes that touch are one prefix.
        shows={"prefixes": ["10.20.0.0/15"], "default_prefixlen": 27, "tags": ["a", "b"]},
    ),
    Step(words="subnet pool unset lake --tag a"),
    Step(words="subnet pool show lake", shows={"tags": ["b"]}),
    Step(words="subnet delete taken wanted"),
    Step(words="subnet pool delete lake"),
    Step(words="address scope delete inside beyond"),
    Step(words="network delete red"),
]

SUBNET_ONBOARDING = [
    Step(words="address scope create inside"),
    Step(
        words="subnet pool create pool --pool-prefix 10.20.0.0/16 --address-scope inside",
        keeps={"pool": "id"},
    ),
    Step(words="network create red"),
    Step(words="subnet create old --network red --subnet-range 10.30.0.0/24"),
    Step(words="subnet pool add network red pool"),
    Step(words="subnet show old", shows={"subnetpool_id": "{pool}"}),
    Step(words="subnet pool show pool", shows={"prefixes": ["10.20.0.0/16", "10.30.0.0/24"]}),
    # The command by its older name.
    Step(words="network create blue"),
    Step(words="subnet create older --network blue --subnet-range 10.31.0.0/24"),
    Step(words="network onboard subnet blue pool"),
    Step(words="subnet show older", shows={"subnetpool_id": "{pool}"}),
    Step(words="network delete red blue"),
    Step(words="subnet pool delete pool"),
    Step(words="address scope delete inside"),
]

PORTS = [
    Step(words="network create red"),
    Step(words="subnet create four --network red --subnet-range 10.1.0.0/24", keeps={"four": "id"}),
    Step(
        words="port create vm --network red --fixed-ip subnet=four,ip-address=10.1.0.77 --device vm-1"
        " --device-owner compute:nova --mac-address 02:00:00:00:00:77 --description first --tag a"
        " --allowed-address ip-address=10.1.0.99 --extra-dhcp-option name=mtu,value=1400",
        shows={
            "fixed_ips": [{"subnet_id": "{four}", "ip_address": "10.1.0.77"}],
            "mac_address": "02:00:00:00:00:77",
            "device_id": "vm-1",
            "device_owner": "compute:nova",
            "status": "DOWN",
            "tags": ["a"],
            "allowed_address_pairs": [{"ip_address": "10.1.0.99", "mac_address": "02:00:00:00:00:77"}],
            "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}],
            "binding_vnic_type": "normal",
        },
        keeps={"vm": "id"},
    ),
    Step(
        words="port create bare --network red --no-fixed-ip --disable-port-security --no-security-group --disable",
        shows={
            "fixed_ips": [],
            "port_security_enabled": False,
            "security_group_ids": [],
            "admin_state_up": False,
        },
    ),
    Step(
        words="port create bound --network red --host compute-1 --vnic-type normal",
        shows={"binding_host_id": "compute-1", "binding_vif_type": "ovs"},
    ),
    Step(words="port list --network red", rows={"Name": ["vm", "bare", "bound"]}),
    Step(words="port list --mac-address 02:00:00:00:00:77 --long", rows={"ID": ["{vm}"]}),
    Step(words="port list --device-owner compute:nova --device-id vm-1", rows={"Name": ["vm"]}),
    Step(words="port list --fixed-ip ip-address=10.1.0.77", rows={"Name": ["vm"]}),
    Step(words="port list --fixed-ip ip-substring=0.1.0.7 --network red", includes={"Name": ["vm"]}),
    Step(words="port list --tags a --status DOWN", rows={"Name": ["vm"]}),
    Step(words="port list --host compute-1 --network red", rows={"Name": ["bound"]}),
    Step(
        words="port set vm --name one --fixed-ip subnet=four,ip-address=10.1.0.78 --no-allowed-address --tag b"
    ),
    Step(
        words="port show one",
        shows={
            "fixed_ips": lambda fixed: {each["ip_address"] for each in fixed} == {"10.1.0.77", "10.1.0.78"},
            "allowed_address_pairs": [],
            "tags": ["a", "b"],
        },
    ),
    Step(words="port unset one --fixed-ip subnet=four,ip-address=10.1.0.77 --tag a --device --device-owner"),
    Step(
        words="port show one",
        shows={
            "fixed_ips": [{"subnet_id": "{four}", "ip_address": "10.1.0.78"}],
            "tags": ["b"],
            "device_id": "",
            "device_owner": "",
        },
    ),
    Step(words="port set bound --binding-profile key=value --data-plane-status ACTIVE"),
    Step(words="port show bound", shows={"binding_profile": {"key": "value"}, "data_plane_status": "ACTIVE"}),
    Step(words="port unset bound --binding-profile key --data-plane-status --host"),
    Step(
        words="port show bound",
        shows={"binding_profile": {}, "data_plane_status": None, "binding_vif_type": "unbound"},
    ),
    Step(words="port create x --network red --fixed-ip ip-address=10.1.0.78", fails="10.1.0.78"),
    Step(words="network delete red", fails="in use"),
    Step(words="port delete one bare bound"),
    Step(words="port list --network red", rows={"Name": []}),
    Step(words="network delete red"),
]

SECURITY_GROUPS = [
    Step(
        words="security group create web --description servers --tag a",
        who="devstack",
        shows={"name": "web", "description": "servers", "stateful": True, "tags": ["a"]},
        keeps={"web": "id"},
    ),
    Step(
        words="security group create db --stateless",
        who="devstack",
        shows={"stateful": False},
        keeps={"db": "id"},
    ),
    Step(words="security group list", who="devstack", rows={"Name": ["default", "web", "db"]}),
    Step(words="security group list --tags a", who="devstack", rows={"Name": ["web"]}),
    Step(words="security group list", who="devstack-alt", rows={"Name": ["default"]}),
    Step(
        words="security group rule create web --protocol tcp --dst-port 80:443 --remote-ip 10.0.0.0/8",
        who="devstack",
        shows={
            "direction": "ingress",
            "ether_type": "IPv4",
            "port_range_min": 80,
            "port_range_max": 443,
            "protocol": "tcp",
            "remote_ip_prefix": "10.0.0.0/8",
        },
        keeps={"rule": "id"},
    ),
    Step(
        words="security group rule create db --remote-group web --protocol udp --ethertype IPv6 --egress",
        who="devstack",
        shows={"remote_group_id": "{web}", "direction": "egress", "ether_type": "IPv6"},
    ),
    Step(
        words="security group rule create web --protocol tcp --dst-port 80:443 --remote-ip 10.0.0.0/8",
        who="devstack",
        fails="already exists",
    ),
    Step(words="security group rule list web --ingress", who="devstack", rows={"ID": ["{rule}"]}),
    Step(
        words="security group rule list web --protocol tcp", who="devstack", rows={"Port Range": ["80:443"]}
    ),
    Step(
        words="security group rule list db --egress --ethertype IPv6",
        who="devstack",
        includes={"IP Protocol": ["udp"]},
    ),
    Step(words="security group rule show {rule}", who="devstack", shows={"security_group_id": "{web}"}),
    Step(words="security group rule delete {rule}", who="devstack"),
    Step(words="security group rule list web --ingress", who="devstack", rows={"ID": []}),
    Step(words="security group set web --name www --description changed --tag b", who="devstack"),
    Step(words="security group unset www --tag a", who="devstack"),
    Step(
        words="security group show www",
        who="devstack",
        shows={"id": "{web}", "description": "changed", "tags": ["b"]},
    ),
    Step(words="security group delete www db", who="devstack"),
    Step(words="security group delete default", who="devstack", fails="default"),
]

ADDRESS_GROUPS = [
    Step(
        words="address group create block --address 10.1.0.0/24 --address 192.0.2.7 --description first",
        shows={"name": "block", "addresses": ["10.1.0.0/24", "192.0.2.7/32"]},
        keeps={"block": "id"},
    ),
    Step(words="address group list", rows={"ID": ["{block}"]}),
    Step(words="address group list --name block", rows={"Name": ["block"]}),
    Step(words="address group set block --name set --address 10.2.0.0/24"),
    Step(words="address group unset set --address 192.0.2.7"),
    Step(words="address group show set", shows={"addresses": ["10.1.0.0/24", "10.2.0.0/24"]}),
    Step(words="security group create web"),
    Step(
        words="security group rule create web --remote-address-group set",
        shows={"remote_address_group_id": "{block}"},
    ),
    Step(words="address group delete set", fails="set"),
    Step(words="security group delete web"),
    Step(words="address group delete set"),
    Step(words="address group list", rows={"ID": []}),
]

DEFAULT_RULES = [
    Step(
        words="default security group rule create --protocol tcp --dst-port 22 --for-default-sg --for-custom-sg",
        shows={"port_range_min": 22, "used_in_default_sg": True, "used_in_non_default_sg": True},
        keeps={"rule": "id"},
    ),
    Step(words="default security group rule list --protocol tcp", rows={"ID": ["{rule}"]}),
    Step(words="default security group rule show {rule}", shows={"protocol": "tcp", "direction": "ingress"}),
    Step(words="security group create made"),
    Step(words="security group rule list made --ingress", rows={"Port Range": ["22:22"]}),
    Step(words="security group delete made"),
    Step(words="default security group rule delete {rule}"),
    Step(words="default security group rule list --ingress --protocol tcp", rows={"ID": []}),
]

SHARING = [
    Step(words="project show alt_demo", keeps={"alt": "id"}),
    Step(words="network create red", who="devstack", keeps={"red": "id"}),
    Step(words="network show {red}", who="devstack-alt", fails="No Network found for {red}"),
    Step(
        words="network rbac create {red} --type network --action access_as_shared --target-project {alt}",
        who="devstack",
        shows={"object_id": "{red}", "object_type": "network", "action": "access_as_shared"},
        keeps={"rbac": "id"},
    ),
    Step(words="network show {red}", who="devstack-alt", shows={"name": "red"}),
    Step(
        words="network rbac list --type network --action access_as_shared",
        who="devstack",
        rows={"ID": ["{rbac}"]},
    ),
    Step(words="network rbac list --target-project {alt} --long", includes={"Action": ["access_as_shared"]}),
    Step(words="network rbac show {rbac}", shows={"target_project_id": "{alt}"}),
    Step(words="port create theirs --network {red}", who="devstack-alt"),
    Step(words="network rbac delete {rbac}", who="devstack", fails="{rbac}"),
    Step(words="port delete theirs", who="devstack-alt"),
    Step(words="project show demo", keeps={"demo": "id"}),
    Step(words="network rbac set {rbac} --target-project {demo}"),
    Step(words="network show {red}", who="devstack-alt", fails="No Network found for {red}"),
    Step(words="network rbac delete {rbac}", who="devstack"),
    Step(words="network delete {red}", who="devstack"),
]

QUOTAS = [
    Step(words="quota show --network demo", includes={"Resource": ["networks", "ports", "routers"]}),
    Step(words="quota set demo --networks 2 --secgroups 7"),
    Step(words="quota list --network", includes={"Networks": [2]}),
    Step(words="network create one", who="devstack"),
    Step(words="network create two", who="devstack"),
    Step(words="network create three", who="devstack", fails="Quota exceeded"),
    Step(words="quota show --network demo --usage", includes={"In Use": [2]}),
    Step(words="network delete one two", who="devstack"),
    Step(words="quota delete --network demo"),
    Step(words="quota list --network", rows={"Networks": []}),
]

FAMILIES = {
    "networks": NETWORKS,
    "subnets": SUBNETS,
    "subnet pools and address scopes": SUBNET_POOLS,
    "subnet onboarding": SUBNET_ONBOARDING,
    "ports": PORTS,
    "security groups": SECURITY_GROUPS,
    "address groups": ADDRESS_GROUPS,
    "default security group rules": DEFAULT_RULES,
    "sharing": SHARING,
    "quotas": QUOTAS,
}
