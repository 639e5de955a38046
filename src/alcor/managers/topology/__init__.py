"""Automatic topologies: a network, subnets and a router for a project that asked for any."""
