"""`alcor-agent`: run and inspect the agent of this host."""
