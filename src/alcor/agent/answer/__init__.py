"""Packets the agent answers itself: DHCP and router advertisements. Pure builders and one dispatcher."""
