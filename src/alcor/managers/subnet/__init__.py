"""Subnet Manager."""
