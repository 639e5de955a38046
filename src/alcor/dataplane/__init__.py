"""The Data-Plane Manager: follow the change log, compute goal state, publish it by scope."""
