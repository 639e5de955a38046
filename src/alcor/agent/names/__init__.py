"""The host's name server: names of the VPC answered from knowledge, all others forwarded."""
