"""Peerings of VPCs."""
