"""The in-process bus."""
