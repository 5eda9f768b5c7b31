#!/bin/bash
# SPDX-License-Identifier: MIT
# Two network namespaces of one host, as containers have them: their connections move as well, with
# the addresses that they have, and with others between.  The ends find each other by the sequence numbers that only
# they share.
#
# time limit: 180
. "$(dirname "$0")/lib.sh"

need ip nsenter unshare nft ss jq
[ "$(id -u)" = 0 ] || {
	skip "$this_test" "needs root"
	exit 0
}
share_kernel

# Two rooms and a router between them that rewrites both addresses for port 7000.
build() {
	room client && client=$pid
	room router && router=$pid
	room server && server=$pid
	ip link add left netns "$client" type veth peer name to-left netns "$router" || return 1
	ip link add right netns "$server" type veth peer name to-right netns "$router"
	inside "$client" ip address add 10.77.1.2/24 dev left
	inside "$router" ip address add 10.77.1.1/24 dev to-left
	inside "$router" ip address add 10.77.2.1/24 dev to-right
	inside "$server" ip address add 10.77.2.2/24 dev right
	inside "$client" ip link set left up
	inside "$server" ip link set right up
	inside "$router" ip link set to-left up
	inside "$router" ip link set to-right up
	inside "$client" ip route add default via 10.77.1.1
	inside "$server" ip route add default via 10.77.2.1
	inside "$router" sysctl -qw net.ipv4.ip_forward=1
	inside "$router" nft -f - <<-END
		table ip way {
			chain in { type nat hook prerouting priority -100; tcp dport 7000 dnat to 10.77.2.2:6000; }
			chain out { type nat hook postrouting priority 100; tcp dport 6000 ct status dnat masquerade; }
		}
	END
}
build >"$scratch/build.out" 2>&1 || {
	skip "$this_test" "no namespaces: $(tail -n 1 "$scratch/build.out")"
	exit 0
}

tcp_option=auto
daemon_start
if ! grep -q "TCP option: [as][th]" "$scratch/smcud.log"; then
	skip "$this_test" "$(grep "TCP option" "$scratch/smcud.log")"
	exit 0
fi

# serve ROOM ADDRESS PORT: says whom it sees, then echoes; its number in $pid
serve() {
	start "server-$2" nsenter --net="/proc/$1/ns/net" "$SMCU" run python3 -c '
import contextlib, socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    talk, peer = listener.accept()
    with talk, contextlib.suppress(ConnectionError):
        talk.sendall(b"%-16s" % peer[0].encode())
        while part := talk.recv(100000):
            talk.sendall(part)
' "$2" "$3"
	wait_until 20 is_served "$1" "$3"
}
is_served() { [ -n "$(inside "$1" ss -Hltn "sport = :$2")" ]; }

# talk ROOM ADDRESS PORT: whom the server sees, and whether 40 small and 100 large messages came back whole
talk() {
	inside "$1" timeout 60 "$SMCU" run python3 - "$2" "$3" <<-'END'
		import os, socket, sys, time
		with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as talk:
		    sees = talk.recv(16, socket.MSG_WAITALL).decode().strip()
		    wrong = 0
		    for size in 40 * [100] + 100 * [50000]:
		        out, back = os.urandom(size), b""
		        talk.sendall(out)
		        while len(back) < size:
		            back += talk.recv(size)
		        wrong += back != out
		        time.sleep(0.001)
		    print(sees, wrong)
	END
}

# moves NAME SEES ROOM ADDRESS PORT: from that room to that address, in shared memory
moves() {
	local before
	before=$(statistic moved)
	verdict "$1" "$(talk "$3" "$4" "$5")" "$2 0"
	really_moved "$1_and_moves" 2 "$before"
}

serve "$server" 10.77.2.2 6000
listening=$pid
moves from_one_namespace_to_another 10.77.1.2 "$client" 10.77.2.2 6000
moves through_address_translation 10.77.2.1 "$client" 10.77.1.1 7000
stop "$listening"

# With an adapter the router is a host that speaks SMC-R with others; its containers are none of these.
daemon_kill
start host nsenter --net="/proc/$router/ns/net" "$SMCU_BUILD/smcud" --foreground --socket "$SMCU_SOCKET" \
	--set tcp_option.attach=auto --rnic to-left
wait_until 10 "$SMCU" stats --json
verdict the_host_has_an_adapter "$("$SMCU" device --json | jq length)" 1
serve "$server" 10.77.2.2 6000
serve "$router" 10.77.1.1 6100
moves from_a_container_to_another_of_a_host_with_an_adapter 10.77.1.2 "$client" 10.77.2.2 6000
moves from_there_through_address_translation 10.77.2.1 "$client" 10.77.1.1 7000
moves from_the_host_to_its_container 10.77.2.1 "$router" 10.77.2.2 6000
moves from_a_container_to_its_host 10.77.1.2 "$client" 10.77.1.1 6100
verdict and_nothing_of_it_is_negotiated "$("$SMCU" stats --json | jq -c '[.remote.smcr, .remote.fallbacks, .remote.failed]')" "[0,0,0]"

finish
