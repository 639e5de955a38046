"""Nova's side: what the compute service is told of its servers' ports."""
