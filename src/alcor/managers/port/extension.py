"""What of the Networking API is there because of ports: aliases, names and dates are the API's."""

from alcor.model.extension import Extension

EXTENSIONS = (
    Extension(
        "port",
        "Neutron Port",
        "Ports: connection points of devices to networks.",
        "2012-01-01T10:00:00-00:00",
    ),
    Extension(
        "allowed-address-pairs",
        "Allowed Address Pairs",
        "A port may send from addresses beside its own.",
        "2013-07-23T10:00:00-00:00",
    ),
    Extension(
        "allowed-address-pairs-atomic",
        "Allowed address pairs atomic operations",
        "Address pairs are added and removed without repeating the others.",
        "2025-09-01T00:00:00-00:00",
    ),
    Extension(
        "binding",
        "Port Binding",
        "Ports show where and how they are plugged.",
        "2014-02-03T10:00:00-00:00",
    ),
    Extension(
        "data-plane-status",
        "Port data plane status extension",
        "A monitor of the underlay says whether a port's packets flow.",
        "2017-01-24T10:00:00-00:00",
    ),
    Extension(
        "dns-domain-ports",
        "dns_domain for ports",
        "A port may have a DNS domain of its own.",
        "2017-04-24T10:00:00-00:00",
    ),
    Extension(
        "dns-integration",
        "DNS Integration",
        "Networks, ports and floating IPs have names and domains of the DNS.",
        "2015-08-15T18:00:00-00:00",
    ),
    Extension(
        "extra_dhcp_opt",
        "Neutron Extra DHCP options",
        "Ports take more options for their DHCP answers.",
        "2013-03-17T12:00:00-00:00",
    ),
    Extension(
        "ip_allocation",
        "IP Allocation",
        "Ports show whether they have addresses by choice.",
        "2016-06-10T23:00:00-00:00",
    ),
    Extension(
        "port-device-profile",
        "Port device profile",
        "Ports name the accelerator profile of their device.",
        "2020-12-17T10:00:00-00:00",
    ),
    Extension(
        "port-hardware-offload-type",
        "Port hardware offload",
        "Ports say how their packets are offloaded to the card.",
        "2023-05-09T10:00:00-00:00",
    ),
    Extension(
        "port-hints",
        "Port hints",
        "Ports carry tuning for the switch of their host.",
        "2023-01-01T00:00:00-00:00",
    ),
    Extension(
        "port-hint-ovs-tx-steering",
        "Port hint: Open vSwitch Tx steering",
        "A hint chooses how Open vSwitch spreads what a port receives.",
        "2023-01-01T00:00:00-00:00",
    ),
    Extension(
        "port-mac-address-regenerate",
        "Neutron Port MAC address regenerate",
        "Null for a MAC address asks for a new one.",
        "2018-05-03T10:00:00-00:00",
    ),
    Extension(
        "port-mac-override",
        "Neutron Port MAC address override",
        "A physical function's port has the card's MAC address, as the binding profile tells it.",
        "2022-03-18T10:00:00-00:00",
    ),
    Extension(
        "port-numa-affinity-policy",
        "Port NUMA affinity policy",
        "Ports say how near to their device a server's memory must be.",
        "2020-07-08T10:00:00-00:00",
    ),
    Extension(
        "port-numa-affinity-policy-socket",
        'Port NUMA affinity policy "socket"',
        "The NUMA policy may be socket.",
        "2024-02-09T10:00:00-00:00",
    ),
    Extension(
        "ip-substring-filtering",
        "IP address substring filtering",
        "Ports are found by a part of an address: fixed_ips=ip_address_substr=….",
        "2017-11-28T09:00:00-00:00",
    ),
    Extension(
        "port-resource-request",
        "Port Resource Request",
        "Ports show what placement must reserve for them.",
        "2018-05-08T10:00:00-00:00",
    ),
    Extension(
        "port-resource-request-groups",
        "Port Resource Request Groups",
        "Bandwidth and packet rates are asked for in groups of one host.",
        "2021-08-02T10:00:00-00:00",
    ),
    Extension(
        "qos-port-network-policy",
        "QoS port network policy ID",
        "Ports show the QoS policy of their network.",
        "2019-11-01T10:00:00-00:00",
    ),
    Extension(
        "port-security-groups-filtering",
        "Port filtering on security groups",
        "Ports are listed by their security groups.",
        "2018-01-09T09:00:00-00:00",
    ),
    Extension(
        "port-trusted-vif",
        "Port trusted vif",
        "A port's virtual function may be trusted.",
        "2024-07-10T10:00:00-00:00",
    ),
    Extension(
        "tag-ports-during-bulk-creation",
        "Tag Ports During Bulk Creation",
        "Ports of a bulk create may have tags.",
        "2019-12-29T19:00:00-00:00",
    ),
    Extension(
        "uplink-status-propagation",
        "Uplink status propagation extension",
        "Ports say whether the uplink's state shows on a virtual function.",
        "2018-05-31T18:00:00-00:00",
    ),
    Extension(
        "uplink-status-propagation-updatable",
        "Uplink status propagation updatable extension",
        "That may be changed.",
        "2024-09-03T18:00:00-00:00",
    ),
)
