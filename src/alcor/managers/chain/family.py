"""The endpoints of service function chains, and the extensions that are there because of them."""

from alcor.managers.chain import chain, pair
from alcor.managers.chain.flow import check_flow
from alcor.managers.interface import Manager
from alcor.managers.plain import plain_manager
from alcor.model.extension import Extension
from alcor.model.flow_classifier import FLOW_CLASSIFIER
from alcor.model.port_chain import PORT_CHAIN, PORT_PAIR, PORT_PAIR_GROUP

_SERVICE = "chain"
_FLOWS = Extension(
    "flow_classifier",
    "Flow Classifier",
    "Which packets chains of service functions are for.",
    "2015-10-05T10:00:00-00:00",
)
_CHAINS = (
    Extension(
        "sfc",
        "Service Function Chaining",
        "Chains of service functions are kept; hosts send no packets through them yet.",
        "2015-10-05T10:00:00-00:00",
    ),
    Extension(
        "networking-sfc-tap",
        "Networking SFC Passive Tap Service Function support",
        "A group of service functions may get copies of packets only.",
        "2017-10-20T10:00:00-00:00",
    ),
)


def family() -> tuple[Manager, ...]:
    """Flow classifiers, port pairs, their groups and chains of these."""
    return (
        plain_manager(FLOW_CLASSIFIER, _SERVICE, check=check_flow, extensions=(_FLOWS,)),
        Manager(
            PORT_PAIR,
            _SERVICE,
            create=pair.create_pairs,
            update=pair.update_pair,
            delete=pair.delete_pair,
        ),
        Manager(
            PORT_PAIR_GROUP,
            _SERVICE,
            create=pair.create_groups,
            update=pair.update_group,
            delete=pair.delete_group,
        ),
        Manager(
            PORT_CHAIN,
            _SERVICE,
            create=chain.create_chains,
            update=chain.update_chain,
            delete=chain.delete_chain,
            extensions=_CHAINS,
        ),
    )
