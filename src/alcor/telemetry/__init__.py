"""Logs, metrics and trace context; imports nothing of ours."""
