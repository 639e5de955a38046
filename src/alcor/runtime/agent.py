"""Composition of one host agent: nothing here reaches the region's packages."""
