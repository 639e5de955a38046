"""Private IP Manager."""
