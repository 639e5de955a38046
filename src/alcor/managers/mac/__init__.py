"""Virtual MAC Manager."""
