"""Route Manager: route tables of VPCs and subnets, and what follows for a subnet."""
