# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Two hosts for tests of connections between hosts: a network namespace each, with a smcud of its own,
# on the two ends of a wire.
#
#   host a                                        host b
#   [ smcud ] v0 10.9.0.1 fd09::1 --------------- v0 10.9.0.2 fd09::2 [ smcud ]
#
#   . "$(dirname "$0")/hosts.sh"          lib.sh comes with it
#   hosts_build 1500                      the wire, with this MTU
#   new_daemons 9000                      the same with another MTU, and daemons whose links have it
#   daemon_on a; daemon_on b              with the adapter v0 and the TCP option
#   on a COMMAND...                       plain, in host a (SMCU_SOCKET is that of its daemon)
#   run_on a PROGRAM...                   under smcu
#   start_on NAME a [smcu_run] PROGRAM... in the background, as start of lib.sh
#   address b                             of a host, in the family of the test
#
# With SMCU_FAMILY=6 in the environment the hosts have no IPv4: all is SMC-Rv1, and RoCE goes by IPv6, too.
#
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need ip nsenter unshare ss jq
peer=$source_dir/tests/e2e/remote_peer.py
declare -A holder daemons address4=([a]=10.9.0.1 [b]=10.9.0.2) address6=([a]=fd09::1 [b]=fd09::2)
family=${SMCU_FAMILY:-4}
# address HOST [FAMILY]
address() { if [ "${2:-$family}" = 4 ]; then echo "${address4[$1]}"; else echo "${address6[$1]}"; fi; }

[ "$(id -u)" = 0 ] || {
	skip "$this_test" "needs root"
	exit 0
}
share_kernel

# host_room HOST: a network namespace of this name
host_room() {
	start "room-$1" unshare --net sleep 10000
	holder[$1]=$pid
	wait_until 5 other_network "$pid"
	on "$1" ip link set lo up
	on "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
}
other_network() { [ "$(readlink /proc/self/ns/net)" != "$(readlink "/proc/$1/ns/net")" ]; }

in_room() { nsenter --net="/proc/${holder[$1]}/ns/net" "${@:2}"; }
on() { in_room "$1" env SMCU_SOCKET="$scratch/$1.sock" "${@:2}"; }
smcu_on() { on "$1" "$SMCU" "${@:2}"; }
run_on() { on "$1" "$SMCU" run "${@:2}"; }

# start_on NAME HOST [smcu_run] COMMAND...: its number in $pid
start_on() {
	local name=$1 host=$2
	shift 2
	[ "$1" != smcu_run ] || set -- "$SMCU" run "${@:2}"
	start "$name" nsenter --net="/proc/${holder[$host]}/ns/net" env SMCU_SOCKET="$scratch/$host.sock" "$@"
}

# give_addresses HOST: to its v0, IPv4 only if the test is not about IPv6
give_addresses() {
	[ "$family" = 6 ] || on "$1" ip address add "${address4[$1]}/24" dev v0
	on "$1" ip address add "${address6[$1]}/64" dev v0 nodad
	on "$1" ip link set v0 up
}

hosts_mtu() {
	on a ip link set v0 mtu "$1"
	on b ip link set v0 mtu "$1"
}
# new_daemons MTU: a link keeps the MTU that it began with
new_daemons() {
	local host
	hosts_mtu "$1"
	for host in a b; do
		[ -z "${daemons[$host]-}" ] || daemon_kill_on $host
		daemon_on $host
	done
}
link_mtus() { smcu_on a link --json | jq -r 'map(.mtu) | unique | join(" ")'; }

connect_hosts() {
	host_room a
	host_room b
	ip link add v0 netns "${holder[a]}" type veth peer name v0 netns "${holder[b]}" || return 1
	hosts_mtu "$1"
	give_addresses a
	give_addresses b
}

# hosts_build MTU: or the whole test is skipped
hosts_build() {
	connect_hosts "$1" >"$scratch/build.out" 2>&1 && return
	skip "$this_test" "no namespaces: $(tail -n 1 "$scratch/build.out")"
	exit 0
}

adapter_ready() { [ "$(smcu_on "$1" device --json | jq 'any(.[]; .active and .gids != [])')" = true ]; }

# daemon_on HOST OPTION...: its daemon; without the TCP option the whole test is skipped
daemon_on() {
	local host=$1
	start_on "smcud-$host" "$host" "$SMCU_BUILD/smcud" --foreground --socket "$scratch/$host.sock" \
		--set tcp_option.attach=auto --rnic v0 "${@:2}"
	daemons[$host]=$pid
	wait_until 10 smcu_on "$host" stats --json || {
		not_ok "$this_test" "smcud on $host does not answer: $(tail -n 1 "$scratch/smcud-$host.log")"
		finish
	}
	wait_until 10 grep -q "TCP option: [as][th]" "$scratch/smcud-$host.log" || {
		skip "$this_test" "$(grep "TCP option" "$scratch/smcud-$host.log")"
		exit 0
	}
	wait_until 10 adapter_ready "$host" || {
		not_ok "$this_test" "smcud on $host has no adapter: $(smcu_on "$host" device --json | jq -c .)"
		finish
	}
}
daemon_kill_on() {
	kill -KILL "${daemons[$1]}"
	wait "${daemons[$1]}" 2>/dev/null
}

# listens HOST PORT: somebody does; nothing is connected to find out
listens() { [ -n "$(on "$1" ss -Hltn "sport = :$2")" ]; }
wait_listens() { wait_until "${3:-20}" listens "$1" "$2"; }

# modes HOST PORT: of its established connections with that port on either end, each mode once
modes() {
	smcu_on "$1" ss --json | jq -r --argjson port "$2" \
		'[.[] | select(.state == "ESTAB" and (.local.port == $port or .peer.port == $port)) | .mode] |
		unique | join(" ")'
}
is_mode() { [ "$(modes "$1" "$2")" = "$3" ]; }
# mode_becomes NAME HOST PORT MODE: all of them, soon
mode_becomes() {
	wait_until 20 is_mode "$2" "$3" "$4"
	verdict "$1" "$(modes "$2" "$3")" "$4"
}

# What became of the rendezvous of a host's daemon: smcr, fallbacks, failed
remote_count() { smcu_on "$1" stats --json | jq ".remote.$2"; }
# really_remote NAME HOST LEAST BEFORE: so many more are SMC-R
really_remote() {
	local now
	now=$(remote_count "$2" smcr)
	if [ $((${now:-0} - $4)) -ge "$3" ]; then
		ok "$1"
	else
		not_ok "$1" "$((${now:-0} - $4)) connections were SMC-R, expected $3"
		smcu_on "$2" stats | head -n 30
	fi
}

# capture_start HOST NAME: what passes v0 of a host, packet by packet, into $scratch/NAME.pcap; the wire
# takes no trains of packets for as long as it is there
capture_start() {
	on a ip link set v0 gso_max_segs 1
	on b ip link set v0 gso_max_segs 1
	start_on "capture-$2" "$1" dumpcap -q -P -i v0 -f "tcp or udp port 4791" -B 64 -w "$scratch/$2.pcap"
	capture=$pid
	wait_until 10 [ -s "$scratch/$2.pcap" ]
}
capture_stop() {
	sleep 0.5 # what is under way
	kill -INT "$capture"
	wait "$capture" 2>/dev/null
}
