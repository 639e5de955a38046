"""The life of the history: what hosts hold back since a new one began, and how that ends."""
