"""Open vSwitch as a `Switch`: OpenFlow 1.5 over the bridge's management socket, OVSDB over its own.

Nothing here starts a process, and nothing here knows goal state: flows come in as `pipeline.flow` values.
"""
