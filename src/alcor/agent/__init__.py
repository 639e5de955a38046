"""The host agent: programs one host."""
