"""Chains of service functions, and the flows they are for."""
