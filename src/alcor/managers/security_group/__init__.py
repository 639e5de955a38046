"""Security Group Manager."""
