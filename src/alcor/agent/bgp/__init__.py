"""BGP on this host: FRR's bgpd as a child of the agent, told what goal state says.

    view (speakers, routes) → config: one `Speech` per autonomous system, and its difference to the last one
                            → daemon: a bgpd that is started with it, and told differences through its vty socket

bgpd runs without zebra and listens nowhere: it touches no route of the host, and only this host opens sessions. It
accepts no route. Restarts are graceful: while an agent is replaced, peers keep the routes, as the switch does flows.
"""
