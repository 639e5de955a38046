"""The extensions that are there because floating IPs are. Names and dates are the Networking API's."""

from alcor.model.extension import Extension

FLOATING_IP_EXTENSIONS = (
    Extension(
        "qos-fip", "Floating IP QoS", "A floating IP may have a QoS policy.", "2017-07-20T00:00:00-00:00"
    ),
    Extension(
        "qos-fip-network-policy",
        "QoS floating IP network policy ID",
        "A floating IP shows the QoS policy of its network.",
        "2021-11-15T10:00:00-00:00",
    ),
    Extension(
        "fip-port-details",
        "Floating IP Port Details Extension",
        "A floating IP tells of the port it stands for.",
        "2018-04-09T10:00:00-00:00",
    ),
    Extension(
        "l3-port-ip-change-not-allowed",
        "Prevent L3 router ports IP address change extension",
        "An address that a floating IP stands for is not taken from its port.",
        "2018-10-09T10:00:00-00:00",
    ),
)
FORWARDING_EXTENSIONS = (
    Extension(
        "floating-ip-port-forwarding",
        "Floating IP Port Forwarding",
        "Single ports of a floating IP lead to ports of inner addresses.",
        "2018-01-19T10:00:00-00:00",
    ),
    Extension(
        "floating-ip-port-forwarding-description",
        "Floating IP Port Forwarding new attribute description",
        "Port forwardings have a description.",
        "2019-11-01T10:00:00-00:00",
    ),
    Extension(
        "floating-ip-port-forwarding-detail",
        "Floating IP port forwarding detail",
        "The port forwardings a floating IP shows have their ID and that of the inner port.",
        "2022-05-06T10:00:00-00:00",
    ),
    Extension(
        "floating-ip-port-forwarding-port-ranges",
        "Floating IP Port Forwarding support port ranges",
        "A port forwarding may be of a range of ports.",
        "2020-07-01T10:00:00-00:00",
    ),
    Extension(
        "expose-port-forwarding-in-fip",
        "Expose Floating IP port forwardings",
        "A floating IP shows its port forwardings.",
        "2018-06-28T16:00:00-00:00",
    ),
)
POOL_EXTENSIONS = (
    Extension(
        "floatingip-pools",
        "Floating IP Pools Extension",
        "Which subnets floating IPs are taken from.",
        "2018-03-21T10:00:00-00:00",
    ),
)
