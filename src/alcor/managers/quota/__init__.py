"""Quota Manager: how many rows of a kind a project may have."""
