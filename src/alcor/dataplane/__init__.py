"""Data-Plane Manager: follow the change log, compute the goal state, publish it; and write what hosts realized."""
