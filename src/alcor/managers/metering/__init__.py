"""Metering: labels under which traffic of routers is counted."""
