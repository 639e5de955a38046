"""The Network Configuration Manager: holds the scopes of its hosts and speaks to their agents."""
