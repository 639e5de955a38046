"""Who changed what, when: the change log as people read it."""
