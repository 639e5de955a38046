"""Pure: intent to goal state, per scope. No I/O, clock, randomness or log; statistics are returned."""
