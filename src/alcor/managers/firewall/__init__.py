"""Firewalls of ports: rules, policies and groups."""
