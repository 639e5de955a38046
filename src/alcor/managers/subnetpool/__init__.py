"""Subnet pools and address scopes: where prefixes of subnets come from."""
