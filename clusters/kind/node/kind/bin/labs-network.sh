#!/bin/bash
set -euo pipefail
pods=10.244.0.0/16 services=10.96.0.0/16

once() { # table chain rule...: append the rule unless it is there
    iptables -w -t "$1" -C "${@:2}" 2>/dev/null || iptables -w -t "$1" -A "${@:2}"
}

# Until kube-proxy has written its rules, a Service's address is one like any other and would follow the default route
# out of the machine. Live Services do not come here: their address is translated before these chains.
for chain in FORWARD OUTPUT; do once filter "$chain" -d "$services" -j REJECT; done
# So would the address of a Pod that has just ended: each Pod here has a route of its own, each other node's range too.
ip route replace unreachable "$pods"
once nat POSTROUTING -s "$pods" ! -d "$pods" -m comment --comment labs -j MASQUERADE

# The control plane's node is the first and gets the first range of addresses. With its configuration here the node is
# ready at once; on other nodes the Pods of the DaemonSet labs-network write it when their range is known.
case $(hostname) in
*-control-plane) install -D -m 0644 /kind/cni/10-labs.conflist /etc/cni/net.d/10-labs.conflist ;;
esac
