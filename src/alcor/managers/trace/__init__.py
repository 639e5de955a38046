"""Traces through the API: one imaginary packet, and why it does or does not arrive."""
