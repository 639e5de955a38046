"""Pure values: the only definition of each entity, its resource, its identifiers and its errors.

Nothing here does I/O, knows the time, draws a random number or awaits.
"""
