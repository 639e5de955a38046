"""RBAC Manager: what a project opens to others, and what it may no longer close."""
