#!/bin/sh
# Called by udhcpc inside a VM's namespace with what the DHCP server said in its environment.
# It sets address, MTU and routes. The resolver file belongs to the whole machine: it is never touched.
set -e
case "$1" in
deconfig)
    ip -4 addr flush dev "$interface"
    ip link set "$interface" up
    ;;
bound | renew)
    [ -z "$ALCOR_LEASE" ] || env > "$ALCOR_LEASE"
    [ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
    ip -4 addr replace "$ip/$mask" dev "$interface"
    if [ -n "$staticroutes" ]; then
        # RFC 3442: with classless routes the router option is not used. Next hop 0.0.0.0: on the link.
        set -- $staticroutes
        while [ $# -ge 2 ]; do
            if [ "$2" = 0.0.0.0 ]; then
                ip -4 route replace "$1" dev "$interface" src "$ip"
            else
                ip -4 route replace "$1" via "$2" dev "$interface"
            fi
            shift 2
        done
    else
        for router in $router; do
            ip -4 route replace default via "$router" dev "$interface"
        done
    fi
    ;;
esac
