"""Local IPs: addresses that mean another port on every host."""
