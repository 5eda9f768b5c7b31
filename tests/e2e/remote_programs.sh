#!/bin/bash
# SPDX-License-Identifier: MIT
# Servers on one host and their clients on another, as they are, by SMC-R: redis, nginx and wrk, iperf3, scp, and
# a thousand connections of one Python program; at two MTUs.
#
# time limit: 400
# takes: 90
# not for: asan (tests/long/sanitized.sh)
. "$(dirname "$0")/hosts.sh"
PATH=$PATH:/usr/sbin
need python3 redis-server redis-cli redis-benchmark nginx curl wrk iperf3 sshd scp ssh-keygen
ulimit -n 65536 2>/dev/null

# (a sanitized daemon that others keep busy is too slow for more: their rendezvous time out)
crowd=1000
[ "${SMCU_VARIANT:-release}" = release ] || crowd=400
many=$((crowd / 3)) # what a busy machine has no time for is TCP

hosts_build 9000
where=$(address b)
in_url=$where
[ "$family" = 4 ] || in_url="[$where]"

# by_smcr NAME LEAST COMMAND...: the command on a, and that so many connections were SMC-R
by_smcr() {
	local name=$1_at_mtu_$mtu least=$2 before
	before=$(remote_count a smcr)
	shift 2
	check "$name" "$@"
	really_remote "${name}_by_smcr" a "$least" "$before"
}

redis_cli() { run_on a timeout 60 redis-cli -h "$where" -p 6380 "$@"; }
redis_keeps_what_it_was_given() {
	seq 5000 | sed 's/.*/SET key:& value-&-&/' >"$scratch/commands"
	redis_cli <"$scratch/commands" | sort | uniq -c | tr -s ' ' >"$scratch/answers"
	[ "$(cat "$scratch/answers")" = " 5000 OK" ] || return
	seq 5000 | sed 's/^/GET key:/' | redis_cli >"$scratch/got"
	seq 5000 | sed 's/.*/value-&-&/' | cmp - "$scratch/got" || return
	[ "$(redis_cli eval 'return string.rep("0123456789", 200000)' 0 | md5sum)" = \
		"$(printf '0123456789%.0s' $(seq 200000) | sed 's/$/\n/' | md5sum)" ]
}
with_redis() {
	start_on redis b smcu_run redis-server --port 6380 --bind "$where" --save "" --appendonly no \
		--protected-mode no --dir "$scratch"
	local server=$pid
	wait_listens b 6380
	by_smcr redis_keeps_what_it_was_given 3 redis_keeps_what_it_was_given
	by_smcr redis_serves_a_crowd 50 run_on a timeout 100 redis-benchmark -h "$where" -p 6380 -q -n 20000 -c 50 \
		-t set,get,lrange_100
	verdict "redis_is_still_well_at_mtu_$mtu" "$(redis_cli get key:77 | cat)" value-77-77
	stop "$server"
}

configure_nginx() {
	cat >"$scratch/nginx.conf" <<-END
		user root; daemon off; worker_processes 2; pid $scratch/nginx.pid; error_log $scratch/error.log;
		events { worker_connections 512; }
		http {
			access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
			client_body_temp_path $scratch/b; proxy_temp_path $scratch/p;
			fastcgi_temp_path $scratch/f; uwsgi_temp_path $scratch/u; scgi_temp_path $scratch/s;
			server { listen $in_url:8080; root $scratch/site; }
		}
	END
	[ ! -e "$scratch/site" ] || return
	mkdir "$scratch/site"
	chmod 755 "$scratch" "$scratch/site"
	head -c 30000000 /dev/urandom >"$scratch/site/big"
	head -c 1000 /dev/urandom >"$scratch/site/small"
}
same_file() { run_on a timeout 60 curl -s "http://$in_url:8080/$1" | cmp - "$scratch/site/$1"; }
wrk_is_content() {
	run_on a timeout 60 wrk -t 2 -c 40 -d 3 "http://$in_url:8080/small" >"$scratch/wrk" 2>&1
	grep -q 'requests in' "$scratch/wrk" && ! grep -q 'Socket errors\|Non-2xx' "$scratch/wrk" &&
		[ "$(sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' "$scratch/wrk")" -gt 40 ]
}
with_nginx() {
	configure_nginx
	start_on nginx b smcu_run nginx -p "$scratch" -c "$scratch/nginx.conf"
	local server=$pid
	wait_listens b 8080
	if starts curl --version; then
		by_smcr nginx_a_large_file 1 same_file big
		by_smcr nginx_a_small_file 1 same_file small
	fi
	by_smcr nginx_under_load 40 wrk_is_content
	verdict "nginx_is_served_without_smcu_too_at_mtu_$mtu" \
		"$(on a timeout 60 curl -s "http://$in_url:8080/small" | md5sum)" "$(md5sum <"$scratch/site/small")"
	stop "$server"
}

iperf() {
	run_on a timeout 60 iperf3 -c "$where" -p 5202 -t 2 --json "$@" >"$scratch/iperf.json"
	jq -e '.end.sum_received.bytes > 1000000 and (has("error") | not)' "$scratch/iperf.json"
}
with_iperf3() {
	start_on iperf b smcu_run iperf3 -s -B "$where" -p 5202
	local server=$pid
	wait_listens b 5202
	by_smcr iperf3_one_stream 2 iperf
	by_smcr iperf3_backwards 2 iperf -R
	by_smcr iperf3_four_streams 5 iperf -P 4
	stop "$server"
}

# sshd locks its child in a sandbox, where it could not keep the connection: it does not offer SMC-R.
with_scp() {
	local options=(-q -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i "$scratch/user" -P 2222)
	if [ "${SMCU_VARIANT:-release}" != release ]; then
		skip scp "sshd's sandbox kills a sanitizer's runtime"
		return
	fi
	mkdir -p /run/sshd
	rm -f "$scratch/host" "$scratch/user"
	ssh-keygen -q -t ed25519 -N '' -f "$scratch/host"
	ssh-keygen -q -t ed25519 -N '' -f "$scratch/user"
	cat >"$scratch/sshd_config" <<-END
		Port 2222
		ListenAddress $where
		HostKey $scratch/host
		AuthorizedKeysFile $scratch/user.pub
		StrictModes no
		UsePAM no
		PidFile none
		PermitRootLogin yes
		Subsystem sftp internal-sftp
	END
	start_on sshd b smcu_run "$(command -v sshd)" -D -e -f "$scratch/sshd_config"
	local server=$pid
	wait_listens b 2222
	local before fallbacks
	before=$(remote_count a smcr)
	fallbacks=$(remote_count b fallbacks)
	check "scp_copies_there_at_mtu_$mtu" \
		run_on a timeout 60 scp "${options[@]}" "$scratch/site/big" "root@$in_url:$scratch/there"
	check "scp_copies_what_it_should_at_mtu_$mtu" cmp "$scratch/site/big" "$scratch/there"
	check "scp_copies_back_at_mtu_$mtu" \
		run_on a timeout 60 scp "${options[@]}" "root@$in_url:$scratch/there" "$scratch/back"
	check "scp_copies_back_what_it_should_at_mtu_$mtu" cmp "$scratch/site/big" "$scratch/back"
	verdict "scp_goes_by_tcp_at_mtu_$mtu" "$(($(remote_count a smcr) - before))" 0
	verdict "scp_is_not_even_offered_at_mtu_$mtu" "$(remote_count b fallbacks)" "$fallbacks"
	stop "$server"
}

# A program that must not offer gets a listener that does: what was agreed on is declined, and is no data.
given_listener() { # NAME PORT PROGRAM [SMCU_OFF]
	local smcr
	start_on given b env PROGRAM="$3" OFF="${4-}" "$SMCU" run python3 "$peer" hand-on "$where" "$2"
	local server=$pid
	wait_until 20 grep -q given "$scratch/given.log"
	smcr=$(remote_count a smcr)
	verdict "$1_gets_its_data" "$(run_on a timeout 60 python3 "$peer" short "$where" "$2" 3 | tail -n 1)" "wrong 0"
	verdict "$1_sees_no_message" "$(grep -c '^CLC' "$scratch/given.log") $(grep -c '^ended eof' "$scratch/given.log")" "0 3"
	verdict "$1_has_tcp" "$(($(remote_count a smcr) - smcr))" 0
	stop "$server"
}
with_inherited_listener() {
	ln -sf "$(python3 -c 'import sys; print(sys.executable)')" "$scratch/sshd"
	given_listener "one_that_must_not_offer_at_mtu_$mtu" 7201 "$scratch/sshd"
	given_listener "one_that_is_switched_off_at_mtu_$mtu" 7202 "$scratch/sshd" 1
}

a_crowd() {
	[ "$(run_on a timeout 120 python3 "$peer" crowd "$where" 7100 $crowd 5 | tee "$scratch/crowd.out")" = "wrong 0" ] || {
		cat "$scratch/crowd.out"
		return 1
	}
}
# In the middle of their coming, for a second: more wait for it than its socket holds.
more_are_there() { [ "$(remote_count a smcr)" -gt "$there" ]; }
a_crowd_and_a_stopped_daemon() {
	there=$(remote_count a smcr)
	a_crowd &
	local many=$!
	wait_until 20 more_are_there
	kill -STOP "${daemons[a]}"
	sleep 1
	kill -CONT "${daemons[a]}"
	wait $many
}
with_asyncio() {
	start_on crowd b smcu_run python3 "$peer" crowd-echo "$where" 7100
	local server=$pid
	wait_listens b 7100
	by_smcr a_thousand_connections_at_once $many a_crowd
	by_smcr a_thousand_connections_while_the_daemon_is_stopped $many a_crowd_and_a_stopped_daemon
	verdict "they_need_several_link_groups_at_mtu_$mtu" \
		"$(smcu_on a linkgroup --json | jq --argjson least $(((many + 254) / 255)) \
		'[.[] | select(.role == "CLNT" and .state == "ACTIVE")] | length >= $least')" true
	stop "$server"
}

# Programs whose limit leaves no room for the hidden descriptors of all of their connections: the rest is TCP.
few="prlimit --nofile=1100" some=400
one_is_smcr() {
	local before
	before=$(remote_count b smcr)
	run_on a timeout 30 python3 "$peer" crowd "$where" "$1" 1 1
	[ "$(remote_count b smcr)" -gt "$before" ]
}
# short_of_descriptors WHO ON_A ON_B PORT: words before the commands there
short_of_descriptors() {
	local before there server
	start_on crowd b $3 "$SMCU" run python3 "$peer" crowd-echo "$where" "$4"
	server=$pid
	wait_listens b "$4"
	wait_until 30 one_is_smcr "$4" # so that not all of them wait for a first contact
	before=$(remote_count b smcr)
	verdict "a_$1_short_of_descriptors_at_mtu_$mtu" \
		"$(run_on a $2 timeout 60 python3 "$peer" crowd "$where" "$4" $some 5)" "wrong 0"
	there=$(($(remote_count b smcr) - before))
	verdict "a_$1_short_of_descriptors_has_both_kinds_at_mtu_$mtu" "$((there > 0)) $((there < some))" "1 1"
	stop "$server"
}
with_few_descriptors() {
	short_of_descriptors client "$few" "" 7101
	short_of_descriptors server "" "$few" 7102
}

at_mtu() {
	local links=$2 program
	mtu=$1
	new_daemons "$mtu"
	for program in redis nginx iperf3 scp inherited_listener asyncio few_descriptors; do "with_$program"; done
	verdict "links_have_packets_that_fit_mtu_$mtu" "$(link_mtus)" "$links"
}

at_mtu 9000 4096
at_mtu 1500 1024
finish
