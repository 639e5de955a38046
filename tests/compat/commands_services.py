"""The client's commands for routers, floating addresses, QoS, trunks and the rest: the table's second half."""

from tests.compat.openstack_shell import Step

ROUTERS = [
    Step(words="network create red"),
    Step(words="subnet create four --network red --subnet-range 10.1.0.0/24"),
    Step(words="subnet create five --network red --subnet-range 10.2.0.0/24"),
    Step(
        words="router create edge --description first --tag a",
        shows={"status": "ACTIVE", "admin_state_up": True, "tags": ["a"], "external_gateway_info": None},
        keeps={"edge": "id"},
    ),
    Step(words="router add subnet edge four"),
    Step(
        words="port list --router edge --long",
        rows={"Device Owner": ["network:router_interface"]},
    ),
    Step(words="port create leg --network red --fixed-ip subnet=five", keeps={"leg": "id"}),
    Step(words="router add port edge leg"),
    Step(words="router show edge", shows={"interfaces_info": lambda legs: len(legs) == 2}),
    Step(words="router add route edge --route destination=10.9.0.0/16,gateway=10.1.0.9"),
    Step(words="router set edge --route destination=10.8.0.0/16,gateway=10.1.0.8 --name rim --tag b"),
    Step(
        words="router show rim",
        shows={
            "routes": lambda routes: {r["destination"] for r in routes} == {"10.8.0.0/16", "10.9.0.0/16"},
            "tags": ["a", "b"],
        },
    ),
    Step(words="router remove route rim --route destination=10.9.0.0/16,gateway=10.1.0.9"),
    Step(words="router unset rim --route destination=10.8.0.0/16,gateway=10.1.0.8 --tag a"),
    Step(words="router show rim", shows={"routes": [], "tags": ["b"]}),
    Step(words="router set rim --external-gateway public --disable-snat"),
    Step(
        words="router show rim",
        shows={
            "external_gateway_info": lambda info: info["enable_snat"] is False and info["external_fixed_ips"]
        },
    ),
    Step(words="router list --name rim --long", rows={"ID": ["{edge}"], "Name": ["rim"]}),
    Step(words="router list --tags b --enable", rows={"Name": ["rim"]}),
    Step(words="router unset rim --external-gateway"),
    Step(words="router show rim", shows={"external_gateway_info": None}),
    Step(words="router add gateway rim public"),
    Step(words="router show rim", shows={"external_gateways": lambda gateways: len(gateways) == 1}),
    Step(words="router remove gateway rim public"),
    Step(words="router delete rim", fails="rim"),
    Step(words="router remove subnet rim four"),
    Step(words="router remove port rim leg"),
    Step(words="port show {leg}", fails="No Port found for {leg}"),
    Step(words="router delete rim"),
    Step(words="router list --name rim", rows={"ID": []}),
    Step(words="network delete red"),
]

FLOATING_IPS = [
    Step(words="network create red", who="devstack"),
    Step(words="subnet create four --network red --subnet-range 10.1.0.0/24", who="devstack"),
    Step(words="router create edge --external-gateway public", who="devstack", keeps={"edge": "id"}),
    Step(words="router add subnet edge four", who="devstack"),
    Step(
        words="port create vm --network red --fixed-ip ip-address=10.1.0.9",
        who="devstack",
        keeps={"vm": "id"},
    ),
    Step(
        words="floating ip create public --description first --tag a",
        who="devstack",
        shows={"status": "DOWN", "port_id": None, "tags": ["a"]},
        keeps={"fip": "id", "address": "floating_ip_address"},
    ),
    Step(words="floating ip set {fip} --port vm --tag b", who="devstack"),
    Step(
        words="floating ip show {address}",
        who="devstack",
        shows={"port_id": "{vm}", "fixed_ip_address": "10.1.0.9", "router_id": "{edge}", "tags": ["a", "b"]},
    ),
    Step(words="floating ip list --port vm", who="devstack", rows={"Floating IP Address": ["{address}"]}),
    Step(words="floating ip list --tags a,b --network public", who="devstack", rows={"ID": ["{fip}"]}),
    Step(words="floating ip list --router edge --long", who="devstack", rows={"Router": ["{edge}"]}),
    Step(words="floating ip list", who="devstack-alt", rows={"ID": []}),
    Step(words="router remove subnet edge four", who="devstack", fails="floating"),
    Step(words="floating ip unset {fip} --port --tag a", who="devstack"),
    Step(words="floating ip show {fip}", who="devstack", shows={"port_id": None, "tags": ["b"]}),
    Step(
        words="floating ip port forwarding create {fip} --internal-ip-address 10.1.0.9 --port vm"
        " --internal-protocol-port 80 --external-protocol-port 8080 --protocol tcp --description web",
        who="devstack",
        shows={"internal_port": 80, "external_port": 8080, "protocol": "tcp", "internal_port_id": "{vm}"},
        keeps={"forwarding": "id"},
    ),
    Step(words="floating ip port forwarding list {fip}", who="devstack", rows={"ID": ["{forwarding}"]}),
    Step(
        words="floating ip port forwarding set {fip} {forwarding} --external-protocol-port 8443 --description tls",
        who="devstack",
    ),
    Step(
        words="floating ip port forwarding show {fip} {forwarding}",
        who="devstack",
        shows={"external_port": 8443, "description": "tls"},
    ),
    Step(words="floating ip port forwarding delete {fip} {forwarding}", who="devstack"),
    Step(words="floating ip port forwarding list {fip}", who="devstack", rows={"ID": []}),
    Step(words="floating ip delete {fip}", who="devstack"),
    Step(words="port delete vm", who="devstack"),
    Step(words="router remove subnet edge four", who="devstack"),
    Step(words="router delete edge", who="devstack"),
    Step(words="network delete red", who="devstack"),
]

QOS = [
    Step(
        words="network qos policy create gold --description first --share",
        shows={"name": "gold", "shared": True, "is_default": False, "rules": []},
        keeps={"gold": "id"},
    ),
    Step(words="network qos policy list --share", rows={"Name": ["gold"]}),
    Step(words="network qos policy set gold --name silver --no-share --default"),
    Step(words="network qos policy show silver", shows={"shared": False, "is_default": True}),
    Step(
        words="network qos rule create silver --type bandwidth-limit --max-kbps 1000 --max-burst-kbits 800 --ingress",
        shows={"max_kbps": 1000, "max_burst_kbps": 800, "direction": "ingress"},
        keeps={"limit": "id"},
    ),
    Step(
        words="network qos rule create silver --type dscp-marking --dscp-mark 26",
        shows={"dscp_mark": 26},
        keeps={"mark": "id"},
    ),
    Step(
        words="network qos rule create silver --type minimum-bandwidth --min-kbps 100 --egress",
        shows={"min_kbps": 100, "direction": "egress"},
    ),
    Step(
        words="network qos rule list silver",
        rows={"Type": ["bandwidth_limit", "dscp_marking", "minimum_bandwidth"]},
    ),
    Step(words="network qos rule set silver {limit} --max-kbps 2000"),
    Step(words="network qos rule show silver {limit}", shows={"max_kbps": 2000}),
    Step(words="network qos rule delete silver {mark}"),
    Step(words="network qos rule list silver", rows={"Type": ["bandwidth_limit", "minimum_bandwidth"]}),
    Step(words="network qos rule type list", includes={"Type": ["bandwidth_limit", "dscp_marking"]}),
    Step(words="network qos rule type show bandwidth_limit", shows={"rule_type_name": "bandwidth_limit"}),
    Step(words="network create red --qos-policy silver", shows={"qos_policy_id": "{gold}"}),
    Step(words="port create vm --network red --qos-policy silver", shows={"qos_policy_id": "{gold}"}),
    Step(words="network qos policy delete silver", fails="in use"),
    Step(words="port unset vm --qos-policy"),
    Step(words="port show vm", shows={"qos_policy_id": None, "qos_network_policy_id": "{gold}"}),
    Step(words="network set red --no-qos-policy"),
    Step(words="port delete vm"),
    Step(words="network delete red"),
    Step(words="network qos policy delete silver"),
    Step(words="network qos policy list", rows={"Name": []}),
]

TRUNKS = [
    Step(words="network create red"),
    Step(words="port create parent --network red", keeps={"parent": "id"}),
    Step(words="port create one --network red", keeps={"one": "id"}),
    Step(words="port create two --network red", keeps={"two": "id"}),
    Step(
        words="network trunk create t --parent-port parent"
        " --subport port=one,segmentation-type=vlan,segmentation-id=101",
        shows={
            "port_id": "{parent}",
            "status": "DOWN",
            "sub_ports": [{"port_id": "{one}", "segmentation_type": "vlan", "segmentation_id": 101}],
        },
        keeps={"trunk": "id"},
    ),
    Step(words="network trunk list --long", rows={"Name": ["t"], "Parent Port": ["{parent}"]}),
    Step(words="network trunk set t --name u --subport port=two,segmentation-type=vlan,segmentation-id=102"),
    Step(
        words="network subport list --trunk u",
        rows={"Port": ["{one}", "{two}"], "Segmentation ID": [101, 102]},
    ),
    Step(words="port delete one", fails="{trunk}"),
    Step(words="network trunk unset u --subport one"),
    Step(words="network subport list --trunk {trunk}", rows={"Port": ["{two}"]}),
    Step(words="network trunk subport add u one --segmentation-type vlan --segmentation-id 103"),
    Step(words="network trunk subport list u", rows={"Segmentation ID": [102, 103]}),
    Step(words="network trunk subport remove u one"),
    Step(words="network trunk show u", shows={"sub_ports": lambda ports: len(ports) == 1}),
    Step(words="network trunk delete u"),
    Step(words="network trunk list", rows={"Name": []}),
    Step(words="port delete parent one two"),
    Step(words="network delete red"),
]

SEGMENTS = [
    Step(words="network create red", keeps={"red": "id"}),
    Step(words="network segment list --network red", rows={"Network Type": ["vxlan"]}),
    Step(
        words="network segment create more --network red --network-type vxlan --segment 7007 --description first",
        shows={"network_id": "{red}", "network_type": "vxlan", "segmentation_id": 7007},
        keeps={"segment": "id"},
    ),
    Step(words="network segment set {segment} --name most --description second"),
    Step(words="network segment show most", shows={"id": "{segment}", "description": "second"}),
    Step(words="network segment list --network red --long", includes={"Name": ["most"]}),
    Step(words="network segment delete {segment}"),
    Step(words="network segment list --network red", lacks={"ID": ["{segment}"]}),
    Step(words="network delete red"),
    Step(
        words="network segment range create private --private --project demo --network-type vxlan"
        " --minimum 900000 --maximum 900009",
        shows={"minimum": 900000, "maximum": 900009, "shared": False, "default": False},
        keeps={"range": "id"},
    ),
    Step(words="network segment range list --long", includes={"Name": ["private"]}),
    Step(words="network create mine", who="devstack"),
    Step(
        words="network show mine",
        shows={"provider:segmentation_id": lambda number: 900000 <= int(number) <= 900009},
    ),
    Step(words="network segment range list --used", includes={"Name": ["private"]}),
    Step(words="network delete mine", who="devstack"),
    Step(words="network segment range set private --name own --minimum 900000 --maximum 900005"),
    Step(words="network segment range show own", shows={"id": "{range}", "maximum": 900005}),
    Step(words="network segment range delete own"),
    Step(words="network segment range list", lacks={"ID": ["{range}"]}),
]

AGENTS = [
    Step(
        words="network agent list --agent-type open-vswitch --host compute-1",
        rows={"Agent Type": ["Open vSwitch agent"], "Host": ["compute-1"], "Alive": [True], "State": [True]},
        keeps={"agent": "ID"},
    ),
    Step(words="network agent list --agent-type dhcp", rows={"ID": []}),
    Step(words="network agent list", who="devstack", rows={"ID": []}),
    Step(words="network agent set {agent} --disable --description resting"),
    Step(
        words="network agent show {agent}",
        shows={"admin_state_up": False, "description": "resting", "binary": "alcor-agent", "alive": True},
    ),
    Step(words="network agent set {agent} --enable"),
    Step(words="network agent show {agent}", shows={"admin_state_up": True}),
    # Agents come and go with their hosts.
    Step(words="network agent delete {agent}", fails="DELETE is not allowed"),
    Step(
        words="availability zone list --network",
        includes={"Zone Name": ["nova"], "Zone Status": ["available"]},
    ),
]

AVAILABILITY = [
    Step(words="network create red", keeps={"red": "id"}),
    Step(words="subnet create four --network red --subnet-range 10.1.0.0/29"),
    Step(words="port create vm --network red"),
    Step(words="ip availability list", includes={"Network Name": ["red"]}),
    Step(words="ip availability list --ip-version 6", lacks={"Network Name": ["red"]}),
    Step(
        words="ip availability show red",
        # A /29 has five addresses to give besides its gateway, and the gateway is none of the pool.
        shows={"total_ips": 5, "used_ips": 1, "network_id": "{red}"},
    ),
    Step(words="port delete vm"),
    Step(words="network delete red"),
]

FLAVORS = [
    Step(
        words="network flavor create fast --service-type L3_ROUTER_NAT --description first",
        shows={"name": "fast", "service_type": "L3_ROUTER_NAT", "enabled": True},
        keeps={"flavor": "id"},
    ),
    Step(words="network flavor profile create --driver driver.of.nobody", fails="driver.of.nobody"),
    Step(
        words="network flavor profile create --driver alcor --metainfo speed=9 --description first",
        shows={"driver": "alcor", "meta_info": "speed=9", "enabled": True},
        keeps={"profile": "id"},
    ),
    Step(words="network flavor add profile fast {profile}"),
    Step(words="network flavor show fast", shows={"service_profile_ids": ["{profile}"]}),
    Step(words="network flavor list", rows={"Name": ["fast"]}),
    Step(words="network flavor profile list", rows={"ID": ["{profile}"]}),
    Step(words="network flavor profile delete {profile}", fails="{profile}"),
    Step(words="network flavor remove profile fast {profile}"),
    Step(words="network flavor set fast --name slow --disable"),
    Step(words="network flavor show {flavor}", shows={"name": "slow", "enabled": False}),
    Step(words="network flavor profile set {profile} --description second --disable"),
    Step(words="network flavor profile show {profile}", shows={"description": "second", "enabled": False}),
    Step(words="network flavor delete slow"),
    Step(words="network flavor profile delete {profile}"),
    Step(words="network service provider list", includes={"Service Type": ["L3_ROUTER_NAT"]}),
]

METERS = [
    Step(
        words="network meter create usage --description first --share",
        shows={"name": "usage", "shared": True},
        keeps={"meter": "id"},
    ),
    Step(words="network meter list", rows={"Name": ["usage"]}),
    Step(words="network meter show usage", shows={"id": "{meter}", "description": "first"}),
    Step(
        words="network meter rule create usage --egress --exclude --remote-ip-prefix 10.0.0.0/8",
        shows={"direction": "egress", "is_excluded": True, "remote_ip_prefix": "10.0.0.0/8"},
        keeps={"rule": "id"},
    ),
    Step(
        words="network meter rule create usage --ingress --source-ip-prefix 10.0.0.0/9"
        " --destination-ip-prefix 192.0.2.0/24",
        shows={"source_ip_prefix": "10.0.0.0/9", "destination_ip_prefix": "192.0.2.0/24"},
    ),
    Step(words="network meter rule list", rows={"Direction": ["ingress", "egress"]}),
    Step(words="network meter rule show {rule}", shows={"metering_label_id": "{meter}"}),
    Step(words="network meter rule delete {rule}"),
    Step(words="network meter delete usage"),
    Step(words="network meter rule list", rows={"ID": []}),
]

LOCAL_IPS = [
    Step(words="network create red", keeps={"red": "id"}),
    Step(words="subnet create four --network red --subnet-range 10.1.0.0/24"),
    Step(words="port create vm --network red --fixed-ip ip-address=10.1.0.9", keeps={"vm": "id"}),
    Step(
        words="local ip create --name here --network red --local-ip-address 10.1.0.50 --description first",
        shows={"local_ip_address": "10.1.0.50", "network_id": "{red}", "ip_mode": "translate"},
        keeps={"local": "id"},
    ),
    Step(words="local ip list --network red", rows={"Name": ["here"]}),
    Step(words="local ip set here --name there --description second"),
    Step(words="local ip show there", shows={"id": "{local}", "description": "second"}),
    Step(
        words="local ip association create there vm",
        shows={"fixed_port_id": "{vm}", "fixed_ip": "10.1.0.9", "local_ip_address": "10.1.0.50"},
    ),
    Step(words="local ip association list there", rows={"Fixed port ID": ["{vm}"]}),
    Step(words="local ip delete there", fails="{local}"),
    Step(words="local ip association delete there {vm}"),
    Step(words="local ip delete there"),
    Step(words="local ip list", rows={"ID": []}),
    Step(words="port delete vm"),
    Step(words="network delete red"),
]

NDP_PROXIES = [
    Step(words="address scope create six --ip-version 6 --share"),
    Step(
        words="subnet pool create pool --pool-prefix 2001:db8:1::/48 --address-scope six --default-prefix-length 64"
    ),
    Step(words="network create beyond --external"),
    Step(words="subnet create beyond-6 --network beyond --ip-version 6 --subnet-pool pool"),
    Step(words="network create red"),
    Step(
        words="subnet create six --network red --ip-version 6 --subnet-pool pool"
        " --ipv6-ra-mode slaac --ipv6-address-mode slaac"
    ),
    Step(
        words="router create edge --external-gateway beyond",
        shows={"enable_ndp_proxy": False},
        keeps={"edge": "id"},
    ),
    # The client makes a router first and its gateways after it, and a router without one has nothing to proxy.
    Step(words="router set edge --enable-ndp-proxy"),
    Step(words="router show edge", shows={"enable_ndp_proxy": True}),
    Step(words="router add subnet edge six"),
    Step(words="port create vm --network red", keeps={"vm": "id"}),
    Step(
        words="router ndp proxy create edge --name shown --port vm --description first",
        shows={"port_id": "{vm}", "router_id": "{edge}"},
        keeps={"proxy": "id"},
    ),
    Step(words="router ndp proxy list --router edge", rows={"ID": ["{proxy}"]}),
    Step(words="router ndp proxy set shown --name published --description second"),
    Step(words="router ndp proxy show published", shows={"description": "second"}),
    Step(words="router ndp proxy delete published"),
    Step(words="router ndp proxy list", rows={"ID": []}),
    Step(words="port delete vm"),
    Step(words="router remove subnet edge six"),
    Step(words="router delete edge"),
    Step(words="network delete red beyond"),
    Step(words="subnet pool delete pool"),
    Step(words="address scope delete six"),
]

CONNTRACK_HELPERS = [
    Step(words="router create edge", keeps={"edge": "id"}),
    Step(
        words="network l3 conntrack helper create edge --helper ftp --protocol tcp --port 21",
        shows={"helper": "ftp", "protocol": "tcp", "port": 21},
        keeps={"helper": "id"},
    ),
    Step(words="network l3 conntrack helper list edge", rows={"ID": ["{helper}"], "Router ID": ["{edge}"]}),
    Step(words="network l3 conntrack helper set edge {helper} --port 2121"),
    Step(words="network l3 conntrack helper show edge {helper}", shows={"port": 2121}),
    Step(words="network l3 conntrack helper delete edge {helper}"),
    Step(words="network l3 conntrack helper list edge", rows={"ID": []}),
    Step(words="router delete edge"),
]

AUTO_ALLOCATED_TOPOLOGY = [
    Step(words="network auto allocated topology create --check-resources", fails="Deployment error"),
    Step(words="network set public --default"),
    Step(
        words="subnet pool create shared --pool-prefix 10.40.0.0/16 --default --share --default-prefix-length 26"
    ),
    Step(words="network auto allocated topology create --check-resources"),
    Step(words="project show alt_demo", keeps={"alt": "id"}),
    Step(
        words="network auto allocated topology create --or-show",
        who="devstack-alt",
        shows={"project_id": "{alt}"},
        keeps={"made": "id"},
    ),
    Step(words="network auto allocated topology create", who="devstack-alt", shows={"id": "{made}"}),
    Step(words="network show {made}", who="devstack-alt", shows={"router:external": False}),
    Step(words="router list", who="devstack-alt", includes={"Status": ["ACTIVE"]}),
    Step(words="network auto allocated topology delete", who="devstack-alt"),
    Step(words="network show {made}", who="devstack-alt", fails="No Network found for {made}"),
    Step(words="router list", who="devstack-alt", rows={"ID": []}),
    Step(words="subnet pool delete shared"),
    Step(words="network set public --no-default"),
]

DISCOVERY = [
    Step(
        words="extension list --network",
        includes={"Alias": ["router", "security-group", "quotas", "qos", "trunk"]},
    ),
    Step(words="extension show router", shows={"alias": "router"}),
]

FAMILIES = {
    "routers": ROUTERS,
    "floating addresses and port forwardings": FLOATING_IPS,
    "quality of service": QOS,
    "trunks": TRUNKS,
    "segments and their ranges": SEGMENTS,
    "agents and availability zones": AGENTS,
    "address availability": AVAILABILITY,
    "flavors and service providers": FLAVORS,
    "meters": METERS,
    "local addresses": LOCAL_IPS,
    "NDP proxies": NDP_PROXIES,
    "connection-tracking helpers": CONNTRACK_HELPERS,
    "topology on demand": AUTO_ALLOCATED_TOPOLOGY,
    "extensions": DISCOVERY,
}
