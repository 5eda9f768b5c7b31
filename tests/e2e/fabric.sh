#!/bin/bash
# SPDX-License-Identifier: MIT
# not for: asan (unit tests and fuzzers have the same code there)
# time limit: 120
# takes: 28
#
# Two soft adapters, a process each, on the two ends of a wire:
#
#   namespace a                          namespace b
#   [ rnic ] v0 10.9.0.1 fd09::1 ------- v0 10.9.0.2 fd09::2 [ rnic ]
#
# What is written arrives exactly, at two MTUs, over both families, and over a path that loses,
# doubles and reorders packets.  How fast is printed; nothing depends on it.
. "$(dirname "$0")/lib.sh"
need ip
rnic=$SMCU_BUILD/tests/fabric/rnic
a=smcu-$$-a b=smcu-$$-b

remove_wire() {
	ip netns delete "$a" 2>/dev/null
	ip netns delete "$b" 2>/dev/null
}
trap 'clean_up; remove_wire' EXIT

make_wire() {
	ip netns add "$a" && ip netns add "$b" &&
		ip link add v0 netns "$a" type veth peer name v0 netns "$b" &&
		ip -n "$a" address add 10.9.0.1/24 dev v0 &&
		ip -n "$b" address add 10.9.0.2/24 dev v0 &&
		ip -n "$a" address add fd09::1/64 dev v0 nodad &&
		ip -n "$b" address add fd09::2/64 dev v0 nodad &&
		ip -n "$a" link set v0 up &&
		ip -n "$b" link set v0 up
}
set_mtu() {
	ip -n "$a" link set v0 mtu "$1"
	ip -n "$b" link set v0 mtu "$1"
}

[ -x "$rnic" ] || {
	skip "$this_test" "rnic is not built"
	exit 0
}
make_wire 2>"$scratch/wire.log" || {
	skip "$this_test" "no network namespaces: $(head -n 1 "$scratch/wire.log")"
	exit 0
}

# exact NAME ADDRESS OPTION...: both ends run, both say that all bytes were right
exact() {
	local name=$1 address=$2
	shift 2
	start serve ip netns exec "$b" "$rnic" v0 serve 7000 "$@"
	if timeout 60 ip netns exec "$a" "$rnic" v0 "$address" 7000 --seconds=1 "$@" \
		>"$scratch/connect.log" 2>&1 && wait "$pid" && grep -q '^exact' "$scratch/serve.log"; then
		ok "$name"
	else
		not_ok "$name" "$(tail -n 1 "$scratch/connect.log"); $(tail -n 1 "$scratch/serve.log")"
	fi
	sed "s/^/# $name: /" "$scratch/connect.log"
}

# heard NAME EVENT COMMAND...: after the command, the adapter's state is told to be this
heard() {
	local name=$1 wanted=$2
	shift 2
	"$@"
	if wait_until 10 grep -qx "$wanted" "$scratch/watch.log"; then
		ok "$name"
	else
		not_ok "$name" "$(tail -n 1 "$scratch/watch.log")"
	fi
	: >"$scratch/watch.log"
}

# was_bad: the path of the latest run did lose and double packets
was_bad() {
	if grep -q '^packets' "$scratch/connect.log" "$scratch/serve.log" &&
		! grep -Eq ' 0 (gaps|duplicates)' "$scratch/serve.log"; then
		ok "the_path_was_bad_at_mtu_$mtu"
	else
		not_ok "the_path_was_bad_at_mtu_$mtu" "$(grep '^packets' "$scratch/serve.log")"
	fi
}

for mtu in 1500 9000; do
	set_mtu "$mtu"
	exact "what_is_written_arrives_at_mtu_$mtu" 10.9.0.2
	exact "a_bad_path_changes_no_byte_at_mtu_$mtu" 10.9.0.2 \
		--loss=10000 --duplicates=10000 --reordered=10000
	was_bad
done
exact what_is_written_arrives_over_ipv6 fd09::2 --gid=1
exact what_is_written_arrives_packet_by_packet 10.9.0.2 --single

# The addresses go while packets are on their way, and come back.
survives() {
	start serve ip netns exec "$b" "$rnic" v0 serve 7000
	local serve=$pid
	start connect ip netns exec "$a" "$rnic" v0 10.9.0.2 7000 --seconds=2
	wait_until 20 grep -q '^exact' "$scratch/serve.log"
	sleep 0.5
	ip -n "$a" address del 10.9.0.1/24 dev v0
	sleep 0.5
	ip -n "$a" address add 10.9.0.1/24 dev v0
	wait "$pid" && wait "$serve"
}
check a_connection_survives_that_its_address_goes_and_comes survives

start watch ip netns exec "$a" "$rnic" v0 watch 0
heard the_state_is_told 'up mtu 4096 0:..0001 1:..0001' true
heard a_new_address_is_told 'up mtu 4096 0:..0001 1:..0001 2:..0007' \
	ip -n "$a" address add 10.8.0.7/24 dev v0
heard an_address_that_is_in_use_soon_is_told 'up mtu 4096 0:..0001 1:..0001 2:..0007 3:..0009' \
	ip -n "$a" address add fd0a::9/64 dev v0
heard an_address_that_goes_leaves_the_others_their_place 'up mtu 4096 1:..0001 2:..0007 3:..0009' \
	ip -n "$a" address del 10.9.0.1/24 dev v0
heard a_new_mtu_is_told 'up mtu 1024 .*' ip -n "$a" link set v0 mtu 1500
heard a_carrier_that_goes_is_told 'down mtu 1024 .*' ip -n "$b" link set v0 down
heard an_interface_that_goes_is_told gone ip -n "$b" link delete v0
finish
