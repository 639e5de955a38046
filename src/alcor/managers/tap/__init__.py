"""Taps: copies of packets of ports."""
