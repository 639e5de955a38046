"""BGP VPNs and what is in them."""
