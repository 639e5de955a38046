"""One imaginary packet through intent, and through the switches' own flows: who gets it, or why nobody does."""
