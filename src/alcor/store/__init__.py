"""The truth and its change log, behind one interface."""
