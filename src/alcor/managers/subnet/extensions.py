"""What of the Networking API is there because of this manager: aliases, names and dates are the API's."""

from alcor.model.extension import Extension

EXTENSIONS = (
    Extension(
        "subnet",
        "Neutron L3 Subnet",
        "Prefixes of networks.",
        "2012-01-01T10:00:00-00:00",
    ),
    Extension(
        "subnet-dns-publish-fixed-ip",
        "Subnet DNS publish fixed IP",
        "A subnet says whether names of its fixed addresses are published.",
        "2019-05-24T10:00:00-00:00",
    ),
    Extension(
        "subnet-external-network",
        "Subnet belongs to an external network",
        "A subnet shows whether its network is external.",
        "2024-02-05T18:00:00-00:00",
    ),
    Extension(
        "subnet-service-types",
        "Subnet service types",
        "A subnet may be for certain kinds of devices only.",
        "2016-03-15T18:00:00-00:00",
    ),
)
