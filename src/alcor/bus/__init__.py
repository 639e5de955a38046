"""The transport: deltas by scope from dataplane to ncm, streams between ncm and agents."""
