"""The REST edge (ASGI): one engine for every resource."""
