"""Elastic IP Manager: outer addresses and what they stand for."""
