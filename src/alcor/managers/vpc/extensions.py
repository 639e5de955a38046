"""What of the Networking API is there because of this manager: aliases, names and dates are the API's."""

from alcor.model.extension import Extension

NETWORK = (
    Extension(
        "external-net",
        "Neutron external network",
        "Networks may be external: routers have their gateways on them (router:external).",
        "2013-01-14T10:00:00-00:00",
    ),
    Extension(
        "l2_adjacency",
        "L2 Adjacency",
        "Networks show whether all their ports reach one another without a router.",
        "2016-04-12T16:00:00-00:00",
    ),
    Extension(
        "multi-provider",
        "Multi Provider Network",
        "A network may travel in several ways: segments.",
        "2013-06-27T10:00:00-00:00",
    ),
    Extension(
        "net-mtu",
        "Network MTU",
        "Networks show the largest IP packet they carry.",
        "2015-03-25T10:00:00-00:00",
    ),
    Extension(
        "net-mtu-writable",
        "Network MTU (writable)",
        "The mtu of a network can be set.",
        "2017-07-12T00:00:00-00:00",
    ),
    Extension(
        "network",
        "Neutron L2 Network",
        "Layer-2 networks.",
        "2012-01-01T10:00:00-00:00",
    ),
    Extension(
        "network_availability_zone",
        "Network Availability Zone",
        "Networks show their availability zones and take hints for them.",
        "2015-01-01T10:00:00-00:00",
    ),
    Extension(
        "provider",
        "Provider Network",
        "Administrators see and choose how a network travels: provider:network_type, segmentation_id.",
        "2012-09-07T10:00:00-00:00",
    ),
    Extension(
        "qinq",
        "QinQ networks",
        "A network may keep its ports' VLAN tags below a service tag.",
        "2024-12-02T10:00:00-00:00",
    ),
    Extension(
        "vlan-transparent",
        "Vlantransparent",
        "A network may let its ports send VLAN tags of their own.",
        "2015-03-23T09:00:00-00:00",
    ),
)
"""Of `/v2.0/networks`."""

SEGMENT = (
    Extension(
        "segment",
        "Segment",
        "Segments of networks; subnets may be on one of them.",
        "2016-02-24T17:00:00-00:00",
    ),
    Extension(
        "standard-attr-segment",
        "Standard Attribute Segment Extension",
        "Segments have the attributes that most resources have.",
        "2017-07-10T16:00:00-00:00",
    ),
    Extension(
        "subnet-segmentid-writable",
        "Subnet SegmentID (writable)",
        "A subnet may be put on a segment later.",
        "2018-03-12T00:00:00-00:00",
    ),
)
"""Of `/v2.0/segments`."""

RANGE = (
    Extension(
        "network-segment-range",
        "Neutron Network Segment Range",
        "Administrators say which numbers networks get, also per project.",
        "2018-11-29T00:00:00-00:00",
    ),
)
"""Of `/v2.0/network_segment_ranges`."""
