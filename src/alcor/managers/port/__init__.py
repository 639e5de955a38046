"""Port Manager."""
