"""How facts become items. Pure functions of the intent: a key (a router's id …) → the items made under it.

The nodes of the graph call them for the keys a change touches; `compile`, the specification, says the same in its own
words and shares only what makes one item of one or two facts.
"""
