"""The nodes of the calculation graph, and `placement`, which three of them build upon.

ports, hosts, trunks ──► placement ──┬──► local_port     (host scope)      ◄── routers, peerings, networks
                                     ├──► neighbour      (neighbours scope) ◄── hosts
                                     └──► network_host   (network scope)    ◄── hosts
one fact each (`row`):  host, network, subnet, member, prefix
keys (`keyed`, `derived`):  router, gateway, floating_ip, rules, qos, network_acl, router_firewall, host_firewall, claim
(parameters) ─────► region
"""
