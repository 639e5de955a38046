"""The extensions that are there because routers are. Names and dates are the Networking API's."""

from alcor.model.extension import Extension

ROUTER_EXTENSIONS = (
    Extension(
        "router",
        "Neutron L3 Router",
        "Routers between subnets, and addresses of external networks for their ports.",
        "2012-07-20T10:00:00-00:00",
    ),
    Extension(
        "ext-gw-mode",
        "Neutron L3 Configurable external gateway mode",
        "Whether a router translates the sources of what leaves by its gateway.",
        "2013-03-28T10:00:00-00:00",
    ),
    Extension(
        "extraroute",
        "Neutron Extra Route",
        "Routes of a router that are set as a list.",
        "2013-02-01T10:00:00-00:00",
    ),
    Extension(
        "extraroute-atomic",
        "Atomically add/remove extra routes",
        "Single routes of a router are added and removed without a list read before.",
        "2019-07-10T00:00:00+00:00",
    ),
    Extension(
        "dvr",
        "Distributed Virtual Router",
        "Routers say whether they are distributed.",
        "2014-06-1T10:00:00-00:00",
    ),
    Extension(
        "l3-ha", "HA Router extension", "Routers say whether they fail over.", "2014-04-26T00:00:00-00:00"
    ),
    Extension(
        "l3-flavors", "Router Flavor Extension", "A router may be of a flavor.", "2016-05-17T00:00:00-00:00"
    ),
    Extension(
        "router_availability_zone",
        "Router Availability Zone",
        "Routers show their availability zones and take hints for them.",
        "2015-01-01T10:00:00-00:00",
    ),
    Extension(
        "qos-gateway-ip",
        "Router gateway IP QoS",
        "A router's gateway may have a QoS policy.",
        "2018-02-24T00:00:00-00:00",
    ),
    Extension(
        "l3-ext-ndp-proxy",
        "Router support to enable NDP proxy",
        "Routers say whether they answer outside for inner IPv6 addresses.",
        "2020-08-25T00:00:00-00:00",
    ),
    Extension(
        "router-admin-state-down-before-update",
        "Enforce Router's Admin State Down Before Update Extension",
        "Whether a router is distributed changes only while it is administratively down.",
        "2019-07-02T15:56:00",
    ),
    Extension(
        "external-gateway-multihoming",
        "Neutron L3 External Gateway Multihoming",
        "A router may have several gateways, also on one external network.",
        "2023-01-18T00:00:00-00:00",
    ),
    Extension(
        "enable-default-route-ecmp",
        "Enable Default Route ECMP",
        "Routers say whether they spread packets over their gateways.",
        "2023-02-27T00:00:00-00:00",
    ),
    Extension(
        "enable-default-route-bfd",
        "Enable Default Route BFD",
        "Routers say whether they watch the next hops of their default routes.",
        "2023-02-27T00:00:00-00:00",
    ),
)
