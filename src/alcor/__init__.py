"""Alcor: a cloud-native, hyperscale SDN platform. Start reading at docs/architecture.md."""

__version__ = "0.1.0"
