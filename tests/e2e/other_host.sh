#!/bin/bash
# SPDX-License-Identifier: MIT
# What the preload library does for a connection to another host: it offers, hands over, and behaves as TCP
# to the program.  The daemon is a played one (other_end.py); a real one attaches the eBPF programs.
#
#   room a: program under smcu ── veth ── room b: other_host.py peer
#
# time limit: 120
. "$(dirname "$0")/lib.sh"

need ip nsenter unshare python3
[ "$(id -u)" = 0 ] || {
	skip "$this_test" "needs root"
	exit 0
}
share_kernel
here=$source_dir/tests/e2e
build() {
	room a && a=$pid
	room b && b=$pid
	ip link add v netns "$a" type veth peer name v netns "$b" || return 1
	inside "$a" ip address add 10.78.0.1/24 dev v
	inside "$b" ip address add 10.78.0.2/24 dev v
	inside "$a" ip link set v up
	inside "$b" ip link set v up
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
export SMCU_SOCKET=$scratch/played.sock
start peer nsenter --net="/proc/$b/ns/net" python3 "$here/other_host.py" peer 7000
wait_until 10 grep -q ready "$scratch/peer.log"

# play MODE: the daemon that is played from now on
play() {
	[ -z "${played:-}" ] || { kill "$played"; wait "$played"; } 2>/dev/null
	rm -f "$SMCU_SOCKET"
	start played python3 "$here/other_end.py" "$1"
	played=$pid
	wait_until 10 grep -q ready "$scratch/played.log"
}
# does WHAT: what the program says that does it under smcu
does() {
	LD_PRELOAD=$preload timeout 30 nsenter --net="/proc/$a/ns/net" \
		python3 "$here/other_host.py" "$1" 10.78.0.2 7000 2>&1 || echo "status $?"
}
met() { grep -c rendezvous "$scratch/played.log"; }

play echo
verdict a_stream_and_its_end_come_back "$(does echo)" "equal b'' EPIPE"
verdict it_was_handed_over_as_the_client "$(grep rendezvous "$scratch/played.log")" "rendezvous client 262144 65536"
verdict a_connect_that_does_not_wait_is_handed_over "$(does asyncio) $(met)" "100000 b'' 2"
verdict a_close_that_lingers_has_sent_all "$(does linger)" "closed"
start server env LD_PRELOAD="$preload" nsenter --net="/proc/$a/ns/net" python3 "$here/other_host.py" serve 7001
server=$pid
wait_until 10 grep -q ready "$scratch/server.log"
start call nsenter --net="/proc/$b/ns/net" python3 "$here/other_host.py" call 10.78.0.1 7001
wait_until 20 grep -q "^b''$" "$scratch/server.log"
stop "$server"
verdict an_accepted_one_goes_to_children_and_programs "$(paste -sd ' ' "$scratch/server.log")" \
	"ready 7 b'' first child heir passed b''"
verdict it_was_handed_over_as_the_server "$(grep -c 'rendezvous server' "$scratch/played.log")" 1
play close
verdict a_closed_peer_resets_the_second_send "$(does end_of_it)" \
	"hello IN+OUT+RDHUP 0 1 EPIPE SIGPIPE EPIPE SIGPIPE IN+OUT+HUP+RDHUP"
play reset
verdict a_reset_is_an_error_once "$(does end_of_it)" \
	"hello IN+OUT+ERR+HUP+RDHUP ECONNRESET EPIPE SIGPIPE EPIPE SIGPIPE EPIPE SIGPIPE IN+OUT+HUP+RDHUP"
verdict a_send_meets_the_reset_first "$(does send_after_reset)" "hello ECONNRESET EPIPE SIGPIPE 0"
verdict so_error_tells_of_a_reset "$(does error_first)" "hello ECONNRESET IN+OUT+HUP+RDHUP"
play die
verdict a_dead_daemon_is_a_reset "$(does end_of_it)" \
	"hello IN+OUT+ERR+HUP+RDHUP ECONNRESET EPIPE SIGPIPE EPIPE SIGPIPE EPIPE SIGPIPE IN+OUT+HUP+RDHUP"
play back
verdict early_data_comes_before_what_tcp_sends "$(does late)" "equal more b''"
verdict a_half_close_before_the_verdict_is_kept "$(does late_shut)" "early"
verdict by_epoll_too "$(does asyncio)" "100000 b''"
verdict all_three_were_handed_over "$(met)" 3
finish
