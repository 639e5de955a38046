"""Node Manager: hosts."""
