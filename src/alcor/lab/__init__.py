"""A laboratory: hosts and virtual machines as network namespaces with real switches, for demo and tests."""
