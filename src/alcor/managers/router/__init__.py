"""Router Manager."""
