"""The embedded store: one writer thread, group commit, write-ahead log, full durability."""
