"""VPC Manager: networks and the numbers that carry them."""
