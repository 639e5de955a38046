"""Flavors, service profiles and service providers: what kinds of a service there are."""
