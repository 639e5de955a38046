"""VPNs of routers to sites elsewhere."""
