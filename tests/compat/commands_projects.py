"""The client's commands for APIs of the network service's sister projects: the table's third part."""

from tests.compat.openstack_shell import Step

FIREWALLS = [
    Step(
        words="firewall group rule create web --protocol tcp --destination-port 80:443 --action allow"
        " --source-ip-address 10.0.0.0/8 --description first",
        shows={
            "Name": "web",
            "Action": "allow",
            "Protocol": "tcp",
            "Destination Port": "80:443",
            "Enabled": True,
        },
        keeps={"web": "ID"},
    ),
    Step(words="firewall group rule create rest --action deny --protocol any", keeps={"rest": "ID"}),
    Step(words="firewall group rule set web --name www --action reject --destination-port 443"),
    Step(words="firewall group rule unset www --source-ip-address"),
    Step(
        words="firewall group rule show www",
        shows={"ID": "{web}", "Action": "reject", "Destination Port": "443", "Source IP Address": None},
    ),
    Step(words="firewall group rule list", includes={"Name": ["www", "rest"]}),
    Step(
        words="firewall group policy create edge --firewall-rule www",
        shows={"Name": "edge", "Firewall Rules": ["{web}"], "Audited": False},
        keeps={"edge": "ID"},
    ),
    Step(words="firewall group policy add rule edge rest --insert-before www"),
    Step(words="firewall group policy show edge", shows={"Firewall Rules": ["{rest}", "{web}"]}),
    Step(words="firewall group policy remove rule edge rest"),
    Step(words="firewall group policy set edge --name rim --audited --firewall-rule rest"),
    Step(
        words="firewall group policy show rim", shows={"Audited": True, "Firewall Rules": ["{web}", "{rest}"]}
    ),
    Step(words="firewall group policy unset rim --audited --firewall-rule rest"),
    Step(words="firewall group policy list", includes={"Name": ["rim"]}),
    Step(words="firewall group rule delete www", fails="{web}"),
    Step(words="network create red"),
    Step(words="subnet create four --network red --subnet-range 10.1.0.0/24"),
    Step(words="router create r"),
    Step(words="router add subnet r four"),
    Step(words="port list --router r", keeps={"leg": "ID"}),
    Step(
        words="firewall group create wall --ingress-firewall-policy rim --port {leg} --description first",
        shows={"Name": "wall", "Ingress Policy ID": "{edge}", "Ports": ["{leg}"], "State": True},
        keeps={"wall": "ID"},
    ),
    Step(words="firewall group set wall --name fence --egress-firewall-policy rim --disable"),
    Step(words="firewall group show fence", shows={"Egress Policy ID": "{edge}", "State": False}),
    Step(words="firewall group unset fence --port {leg} --egress-firewall-policy --ingress-firewall-policy"),
    Step(
        words="firewall group show fence",
        shows={"Ports": [], "Egress Policy ID": None, "Ingress Policy ID": None},
    ),
    Step(words="firewall group list", includes={"Name": ["fence", "default"]}),
    Step(words="firewall group delete fence"),
    Step(words="router remove subnet r four"),
    Step(words="router delete r"),
    Step(words="network delete red"),
    Step(words="firewall group policy delete rim"),
    Step(words="firewall group rule delete www rest"),
]

DYNAMIC_ROUTING = [
    Step(
        words="bgp peer create neighbour --peer-ip 192.0.2.9 --remote-as 64999",
        shows={"name": "neighbour", "peer_ip": "192.0.2.9", "remote_as": 64999, "auth_type": "none"},
        keeps={"peer": "id"},
    ),
    Step(words="bgp peer set neighbour --name friend"),
    Step(words="bgp peer show friend", shows={"id": "{peer}"}),
    Step(words="bgp peer list", rows={"Name": ["friend"]}),
    Step(
        words="bgp speaker create voice --local-as 64512 --ip-version 4 --no-advertise-tenant-networks",
        shows={"local_as": 64512, "ip_version": 4, "advertise_tenant_networks": False},
        keeps={"speaker": "id"},
    ),
    Step(words="bgp speaker set voice --name speech --advertise-tenant-networks"),
    Step(words="bgp speaker add peer speech friend"),
    Step(words="bgp speaker add network speech public"),
    Step(
        words="bgp speaker show speech",
        shows={"peers": ["{peer}"], "networks": lambda networks: len(networks) == 1, "id": "{speaker}"},
    ),
    Step(words="floating ip create public", keeps={"fip": "id", "address": "floating_ip_address"}),
    Step(words="bgp speaker list advertised routes speech", rows={"Destination": []}),
    Step(words="bgp speaker list", rows={"Name": ["speech"]}),
    Step(words="bgp speaker remove peer speech friend"),
    Step(words="bgp speaker remove network speech public"),
    Step(words="bgp speaker show speech", shows={"peers": [], "networks": []}),
    Step(words="floating ip delete {fip}"),
    Step(words="bgp speaker delete speech"),
    Step(words="bgp peer delete friend"),
]

TAPS = [
    Step(words="network create red"),
    Step(words="port create watched --network red", keeps={"watched": "id"}),
    Step(words="port create watcher --network red", keeps={"watcher": "id"}),
    Step(
        words="tap service create --name ear --port watcher --description first",
        shows={"name": "ear", "port_id": "{watcher}"},
        keeps={"service": "id"},
    ),
    Step(words="tap service update ear --name ears --description second"),
    Step(words="tap service show ears", shows={"id": "{service}", "description": "second"}),
    Step(words="tap service list", rows={"ID": ["{service}"]}),
    Step(
        words="tap flow create --name what --port watched --tap-service ears --direction BOTH",
        shows={"source_port": "{watched}", "tap_service_id": "{service}", "direction": "BOTH"},
        keeps={"flow": "id"},
    ),
    Step(words="tap flow update what --name which"),
    Step(words="tap flow show which", shows={"id": "{flow}"}),
    Step(words="tap flow list", rows={"ID": ["{flow}"]}),
    Step(words="tap flow delete which"),
    Step(words="tap service delete ears"),
    Step(
        words="tap mirror create --name glass --port watched --directions IN=99 --remote-ip 192.0.2.77"
        " --mirror-type gre",
        shows={"port_id": "{watched}", "remote_ip": "192.0.2.77", "mirror_type": "gre"},
        keeps={"mirror": "id"},
    ),
    Step(words="tap mirror update glass --name window"),
    Step(words="tap mirror show window", shows={"id": "{mirror}"}),
    Step(words="tap mirror list", rows={"ID": ["{mirror}"]}),
    Step(words="tap mirror delete window"),
    Step(words="port delete watched watcher"),
    Step(words="network delete red"),
]

BGPVPNS = [
    Step(
        words="bgpvpn create --name wan --route-target 64512:1 --type l3",
        shows={"name": "wan", "type": "l3", "route_targets": ["64512:1"]},
        keeps={"vpn": "id"},
    ),
    Step(words="bgpvpn set wan --name lan --import-target 64512:2 --export-target 64512:3"),
    Step(words="bgpvpn show lan", shows={"import_targets": ["64512:2"], "export_targets": ["64512:3"]}),
    Step(words="bgpvpn unset lan --import-target 64512:2"),
    Step(words="bgpvpn show {vpn}", shows={"import_targets": [], "name": "lan"}),
    Step(words="bgpvpn list --long", rows={"ID": ["{vpn}"]}),
    Step(words="network create red", keeps={"red": "id"}),
    Step(
        words="bgpvpn network association create lan red",
        shows={"network_id": "{red}"},
        keeps={"of_network": "id"},
    ),
    Step(words="bgpvpn network association list lan", rows={"ID": ["{of_network}"]}),
    Step(words="bgpvpn network association show {of_network} lan", shows={"network_id": "{red}"}),
    Step(words="bgpvpn network association delete {of_network} lan"),
    Step(words="subnet create four --network red --subnet-range 10.1.0.0/24"),
    Step(words="port create vm --network red", keeps={"vm": "id"}),
    Step(
        words="bgpvpn port association create lan vm --prefix-route prefix=10.9.0.0/16",
        shows={"port_id": "{vm}"},
        keeps={"of_port": "id"},
    ),
    Step(words="bgpvpn port association set {of_port} lan --no-advertise-fixed-ips"),
    Step(words="bgpvpn port association show {of_port} lan", shows={"advertise_fixed_ips": False}),
    Step(words="bgpvpn port association unset {of_port} lan --all-prefix-routes"),
    Step(words="bgpvpn port association list lan", rows={"ID": ["{of_port}"]}),
    Step(words="bgpvpn port association delete {of_port} lan"),
    Step(words="router create r", keeps={"router": "id"}),
    Step(
        words="bgpvpn router association create lan r",
        shows={"router_id": "{router}"},
        keeps={"of_router": "id"},
    ),
    Step(words="bgpvpn router association set {of_router} lan --no-advertise_extra_routes"),
    Step(words="bgpvpn router association show {of_router} lan", shows={"advertise_extra_routes": False}),
    Step(words="bgpvpn router association unset {of_router} lan --no-advertise_extra_routes"),
    Step(words="bgpvpn router association list lan", rows={"ID": ["{of_router}"]}),
    Step(words="bgpvpn router association delete {of_router} lan"),
    Step(words="bgpvpn delete lan"),
    Step(words="router delete r"),
    Step(words="port delete vm"),
    Step(words="network delete red"),
]

VPNS = [
    Step(words="network create red"),
    Step(words="subnet create four --network red --subnet-range 10.1.0.0/24", keeps={"four": "id"}),
    Step(words="router create edge --external-gateway public", keeps={"edge": "id"}),
    Step(words="router add subnet edge four"),
    # The client's own check of --lifetime and --dpd fails before it sends anything.
    Step(
        words="vpn ike policy create ike --encryption-algorithm aes-256 --ike-version v2",
        shows={"Encryption Algorithm": "aes-256", "IKE Version": "v2", "Authentication Algorithm": "sha1"},
        keeps={"ike": "ID"},
    ),
    Step(words="vpn ike policy set ike --name ike2 --pfs group14"),
    Step(
        words="vpn ike policy show ike2",
        shows={"ID": "{ike}", "Perfect Forward Secrecy (PFS)": "group14"},
    ),
    Step(words="vpn ike policy list", rows={"Name": ["ike2"]}),
    Step(
        words="vpn ipsec policy create ipsec --transform-protocol esp --encapsulation-mode tunnel",
        shows={"Transform Protocol": "esp", "Encapsulation Mode": "tunnel"},
        keeps={"ipsec": "ID"},
    ),
    Step(words="vpn ipsec policy set ipsec --name ipsec2 --auth-algorithm sha256"),
    Step(words="vpn ipsec policy show ipsec2", shows={"Authentication Algorithm": "sha256"}),
    Step(words="vpn ipsec policy list", rows={"ID": ["{ipsec}"]}),
    Step(
        words="vpn service create vpn --router edge --description first",
        shows={"Router": "{edge}", "State": True},
        keeps={"vpn": "ID"},
    ),
    Step(words="vpn service set vpn --name vpn2 --disable"),
    Step(words="vpn service show vpn2", shows={"ID": "{vpn}", "State": False}),
    Step(words="vpn service list", rows={"Name": ["vpn2"]}),
    Step(
        words="vpn endpoint group create here --type subnet --value four",
        shows={"Type": "subnet", "Endpoints": ["{four}"]},
    ),
    Step(words="vpn endpoint group create there --type cidr --value 10.9.0.0/24", keeps={"there": "ID"}),
    Step(words="vpn endpoint group set there --name yonder --description far"),
    Step(words="vpn endpoint group show {there}", shows={"Name": "yonder", "Endpoints": ["10.9.0.0/24"]}),
    Step(words="vpn endpoint group list", rows={"Name": ["here", "yonder"]}),
    Step(
        words="vpn ipsec site connection create site --vpnservice vpn2 --ikepolicy ike2 --ipsecpolicy ipsec2"
        " --peer-address 192.0.2.9 --peer-id 192.0.2.9 --psk secret"
        " --local-endpoint-group here --peer-endpoint-group yonder",
        shows={"Peer Address": "192.0.2.9", "VPN Service": "{vpn}", "IKE Policy": "{ike}"},
        keeps={"site": "ID"},
    ),
    Step(words="vpn ike policy delete ike2", fails="failed to delete"),
    Step(words="vpn ipsec site connection set site --name place --mtu 1400"),
    Step(words="vpn ipsec site connection show place", shows={"ID": "{site}", "MTU": 1400}),
    Step(words="vpn ipsec site connection list", rows={"Name": ["place"]}),
    Step(words="vpn ipsec site connection delete place"),
    Step(words="vpn endpoint group delete here yonder"),
    Step(words="vpn service delete vpn2"),
    Step(words="vpn ipsec policy delete ipsec2"),
    Step(words="vpn ike policy delete ike2"),
    Step(words="router remove subnet edge four"),
    Step(words="router delete edge"),
    Step(words="network delete red"),
]

FAMILIES = {
    "firewalls": FIREWALLS,
    "dynamic routing": DYNAMIC_ROUTING,
    "taps": TAPS,
    "BGP VPNs": BGPVPNS,
    "IPsec VPNs": VPNS,
}
