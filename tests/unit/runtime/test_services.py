"""What configuration says of metadata and names: to the agent's services, and to all hosts."""

from pathlib import Path

import pytest

from alcor.agent.metadata.handler import Settings
from alcor.agent.metadata.service import Compute
from alcor.model.port import DNS_DOMAIN_DEFAULT
from alcor.runtime.agent import service_settings
from alcor.runtime.agent_config import AgentConfig, Metadata
from alcor.runtime.config import Dataplane
from alcor.runtime.settings import ConfigurationError


def test_a_host_serves_by_itself() -> None:
    """Without a compute service no secret is looked for."""
    assert service_settings(AgentConfig()) == Settings("alcor-md")


def test_a_compute_service_needs_its_secret(tmp_path: Path) -> None:
    """The secret is in a file; a file that is not there or empty is said at the start."""
    secret = tmp_path / "secret"
    config = AgentConfig(metadata=Metadata(nova_url="http://nova:8775", nova_secret_file=secret))

    with pytest.raises(ConfigurationError, match="nova_secret_file"):
        service_settings(config)
    secret.write_text("\n")
    with pytest.raises(ConfigurationError, match="empty"):
        service_settings(config)
    secret.write_text("s3cret\n")
    assert service_settings(config) == Settings("alcor-md", Compute("http://nova:8775", "s3cret"))


def test_names_made_of_addresses_are_where_the_api_says() -> None:
    """The API's `dns_assignment` and the hosts' name servers use one domain."""
    assert Dataplane().dns_domain == DNS_DOMAIN_DEFAULT
