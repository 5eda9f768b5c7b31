#!/bin/bash
# SPDX-License-Identifier: MIT
# What is not offered to another host: ports and addresses that a rule denies, and sockets with options that only TCP
# can serve, whenever they are set.  Neither SYN nor SYN-ACK has the option, so that nobody negotiates: a kernel does
# not wait for the Accept of a server that accepts late.
#
# time limit: 120
. "$(dirname "$0")/hosts.sh"
need python3 nft

hosts_build 1500
# What arrives at b and leaves it: SYNs and SYN-ACKs with the option.
on b nft -f - 2>"$scratch/nft.log" <<END || {
	table inet seen {
		counter syn {}
		counter synack {}
		chain in { type filter hook input priority 0; tcp flags & (syn | ack) == syn tcp option 254 exists counter name syn; }
		chain out { type filter hook output priority 0; tcp flags & (syn | ack) == (syn | ack) tcp option 254 exists counter name synack; }
	}
END
	skip "$this_test" "$(head -n 1 "$scratch/nft.log")"
	exit 0
}
seen() { on b nft -j list counter inet seen "$1" | jq '[.nftables[] | select(.counter) | .counter.packets] | add'; }

# A client and a server of one connection, which both set an option of this name before, after, or not at all, and stay.
cat >"$scratch/end.py" <<'END'
import ctypes, socket, struct, sys, time
role, address, port, option, when = sys.argv[1:]

def md5(sock):
    key = struct.pack("=HH4s120xBBH4x80s", socket.AF_INET, 0, socket.inet_aton("10.9.0.77"), 0, 0, 3, b"key")
    sock.setsockopt(socket.IPPROTO_TCP, 14, key)  # TCP_MD5SIG, of a peer that is not there

def policy(sock):
    """That what goes out is as it is: the least that a policy of IPsec can say."""
    selector = struct.pack("=16s16sHHHHHBBBxxxiI", b"", b"", 0, 0, 0, 0, socket.AF_INET, 0, 0, 0, 0, 0)
    limits = struct.pack("=8Q", *[2**64 - 1] * 4, 0, 0, 0, 0)
    info = selector + limits + bytes(32) + struct.pack("=IIBBBB4x", 0, 0, 1, 0, 0, 0)
    sock.setsockopt(socket.IPPROTO_IP, 17, info)  # IP_XFRM_POLICY

def fast_open(sock):
    if role == "listen":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
    else:
        sock.setsockopt(socket.IPPROTO_TCP, 30, 1)  # TCP_FASTOPEN_CONNECT

def put(moment):
    if when == moment and option != "none":
        try:
            {"md5": md5, "policy": policy, "fast_open": fast_open}[option](sock)
        except OSError as error:
            print("cannot:", error, flush=True)

sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
put("before")
if role == "listen":
    sock.bind((address, int(port)))
    sock.listen()
    put("after")
    print("listening", flush=True)
    talk, _ = sock.accept()
else:
    sock.connect((address, int(port)))
    talk = sock
for number in range(50):
    if role == "listen":
        talk.sendall(talk.recv(5, socket.MSG_WAITALL))
    else:
        time.sleep(0.004)  # what the daemon says is seen at a later call
        talk.sendall(b"hello")
        assert talk.recv(5, socket.MSG_WAITALL) == b"hello"
print("talked", flush=True)
talk.recv(1)
END
port=7000
# pair CLIENT-OPTION SERVER-OPTION WHEN [PORT]: one connection from a to b; waits until it has talked
pair() {
	port=${4:-$((port + 1))}
	start_on server b smcu_run python3 "$scratch/end.py" listen 10.9.0.2 "$port" "$2" "$3"
	server=$pid
	wait_until 20 grep -q listening "$scratch/server.log"
	start_on client a smcu_run python3 "$scratch/end.py" connect 10.9.0.2 "$port" "$1" before
	client=$pid
	wait_until 20 grep -q talked "$scratch/client.log"
}
part() {
	stop "$client"
	stop "$server"
}
fallbacks() { echo $(($(remote_count a fallbacks) + $(remote_count b fallbacks))); }

# is_tcp NAME SYNS SYN-ACKS: it has talked by TCP, nobody negotiated, and so many more had the option
is_tcp() {
	verdict "$1_is_tcp" "$(grep -c talked "$scratch/client.log") $(modes a "$port") $(modes b "$port")" "1 TCP TCP"
	verdict "$1_is_not_negotiated" "$(fallbacks)" "$before"
	verdict "options_sent_where_$1" "$(($(seen syn) - syns)) $(($(seen synack) - synacks))" "$2 $3"
}
count_before() { before=$(fallbacks) syns=$(seen syn) synacks=$(seen synack); }
reason() { smcu_on "$1" ss --json | jq -r --argjson port "$port" '.[] | select(.local.port == $port or .peer.port == $port) | .reason'; }

is_reason() { [ "$(reason "$1")" = "$2" ]; }

# --- Rules ---------------------------------------------------------------------------------------

daemon_on a
daemon_on b --set rules.deny_port=7100,7200-7210 --set rules.deny_address=10.9.0.99,192.0.2.0/24
count_before
pair none none before
mode_becomes what_no_rule_denies_is_smcr b "$port" SMCR
verdict and_both_have_sent_the_option "$(($(seen syn) - syns)) $(($(seen synack) - synacks))" "1 1"
part

count_before
pair none none before 7205
is_tcp a_listener_on_a_denied_port 1 0
wait_until 5 is_reason b rule # until the daemon has refused it
verdict ss_says_that_it_is_a_rule "$(reason b)" rule
part

on b ip address add 10.9.0.99/24 dev v0
count_before
start_on server b smcu_run python3 "$scratch/end.py" listen 10.9.0.99 7300 none before
server=$pid
wait_until 20 grep -q listening "$scratch/server.log"
start_on client a smcu_run python3 "$scratch/end.py" connect 10.9.0.99 7300 none before
client=$pid port=7300
wait_until 20 grep -q talked "$scratch/client.log"
is_tcp a_listener_on_a_denied_address 1 0
part

# The other way round: the client's host has the rule.
start_on server a smcu_run python3 "$scratch/end.py" listen 10.9.0.1 7100 none before
server=$pid port=7100
wait_until 20 grep -q listening "$scratch/server.log"
before=$(fallbacks)
start_on client b smcu_run python3 "$scratch/end.py" connect 10.9.0.1 7100 none before
client=$pid
wait_until 20 grep -q talked "$scratch/client.log"
verdict a_connection_to_a_denied_port_is_tcp "$(modes a 7100) $(modes b 7100) $(fallbacks)" "TCP TCP $before"
verdict and_ss_says_why "$(reason b)" rule
part
daemon_kill_on b

too_many=$(seq 1000 1300 | paste -sd ,)
on b "$SMCU_BUILD/smcud" --foreground --socket "$scratch/b.sock" --set "rules.deny_port=$too_many" 2>"$scratch/error"
verdict a_list_that_is_too_long_is_refused "$(cat "$scratch/error")" \
	"smcud: rules.deny_port: more than 256 ports and addresses in all lists"

# --- Options ---------------------------------------------------------------------------------------

daemon_on b
for option in fast_open md5 policy; do
	for when in before after; do
		count_before
		pair none $option $when
		if grep -q cannot "$scratch/server.log"; then
			skip "a_listener_with_${option}_$when" "$(grep cannot "$scratch/server.log")"
		else
			is_tcp "a_listener_with_${option}_$when" 1 0
		fi
		part
	done
	count_before
	pair $option none before
	if grep -q cannot "$scratch/client.log"; then
		skip "a_client_with_$option" "$(grep cannot "$scratch/client.log")"
	else
		is_tcp "a_client_with_$option" 0 0
	fi
	part
done
count_before
pair none none before
mode_becomes and_without_any_it_is_smcr_again b "$port" SMCR
part
finish
