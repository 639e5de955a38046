"""Trunk Manager."""
