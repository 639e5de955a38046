"""The nodes of the calculation graph, one per kind of item, and `placement`, which three of them build upon.

hosts ────────┬──► host                      (host scope)
ports ──┐     │
        ├──► placement ──┬──► local_port     (host scope)
hosts ──┘                ├──► neighbour      (neighbours scope)  ◄── hosts
                         └──► network_host   (network scope)     ◄── hosts
networks ─────────► network                  (network scope)
subnets ──────────► subnet                   (network scope)
(parameters) ─────► region                   (region scope)
"""
