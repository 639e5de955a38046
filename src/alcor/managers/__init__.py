"""Intent: the rules of each noun, as functions over a transaction."""
