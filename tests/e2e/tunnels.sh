#!/bin/bash
# SPDX-License-Identifier: MIT
# TLS on top of connections that move: openssl's own server and client, and two stunnels with a plain
# connection on either side.  Each with plain TCP and under smcu.
#
#   s_client, curl ====TLS==== s_server
#   echo_client.py ==== stunnel ====TLS==== stunnel ==== socat (echo)
#
# time limit: 120
# takes: 45
# not for: asan (tests/long/sanitized.sh)
. "$(dirname "$0")/lib.sh"
need openssl curl python3

daemon_start
site=$scratch/site
mkdir -p "$site"
head -c 40000000 /dev/urandom >"$site/big"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 \
	-addext "subjectAltName=IP:127.0.0.1" -keyout "$scratch/key" -out "$scratch/certificate" \
	2>/dev/null
cat "$scratch/key" "$scratch/certificate" >"$scratch/both"
chmod 600 "$scratch/both"

# s_server WAY PORT OPTION: it serves files from its directory
s_server() {
	cd "$site" || return
	start "s_server$3" "$1" openssl s_server -accept "127.0.0.1:$2" -key "$scratch/key" \
		-cert "$scratch/certificate" "$3"
	cd "$source_dir" || return
	wait_port "$2"
}

# s_client WAY PORT: what it reads goes there, what it is told comes back
s_client() {
	within 60 "$1" openssl s_client -quiet -connect "127.0.0.1:$2" -CAfile "$scratch/certificate" \
		-verify_return_error 2>"$scratch/s_client.log"
}

openssl_serves_and_asks() {
	local way=$1 port before server name=openssl_${1%%_*}
	port=$(free_port)
	before=$(statistic moved)
	s_server "$way" "$port" -rev
	server=$pid
	seq -f 'line %06g' 5000 >"$scratch/lines"
	verdict "${name}_answers_each_line" \
		"$({ cat "$scratch/lines"; echo CLOSE; } | s_client "$way" "$port" | cksum)" \
		"$(rev <"$scratch/lines" | cksum)"
	stop "$server"
	port=$(free_port)
	s_server "$way" "$port" -HTTP
	server=$pid
	s_server_file "$way" "$port" "$name"
	stop "$server"
	[ "$way" = env ] || really_moved "${name}_really_moved" 4 "$before"
}

# The answer to s_client is all that the file named has, head included.
s_server_file() {
	local way=$1 port=$2 name=$3
	{
		printf 'HTTP/1.0 200 ok\r\nContent-type: text/plain\r\n\r\n'
		cat "$site/big"
	} >"$site/answer"
	verdict "${name}_sends_a_large_file_to_its_own_client" \
		"$(printf 'GET /answer HTTP/1.0\r\n\r\n' | s_client "$way" "$port" | cksum)" \
		"$(cksum <"$site/answer")"
	starts curl --version || return
	verdict "${name}_sends_a_large_file_to_curl" \
		"$(within 60 "$way" curl -s --cacert "$scratch/certificate" \
			"https://127.0.0.1:$port/answer" | cksum)" "$(cksum <"$site/big")"
}

stunnel_configure() {
	cat >"$scratch/near.conf" <<-END
		foreground = yes
		pid =
		debug = warning
		[near]
		client = yes
		accept = 127.0.0.1:$1
		connect = 127.0.0.1:$2
		CAfile = $scratch/certificate
		verifyPeer = yes
	END
	cat >"$scratch/far.conf" <<-END
		foreground = yes
		pid =
		debug = warning
		[far]
		accept = 127.0.0.1:$2
		connect = 127.0.0.1:$3
		cert = $scratch/both
	END
}

two_stunnels() {
	local way=$1 name=stunnel_${1%%_*} near far echo before mine=()
	command -v stunnel >/dev/null && command -v socat >/dev/null || {
		skip "$name" "no stunnel or no socat"
		return
	}
	near=$(free_port) far=$(free_port) echo=$(free_port)
	stunnel_configure "$near" "$far" "$echo"
	before=$(statistic moved)
	start echo "$way" socat "TCP-LISTEN:$echo,bind=127.0.0.1,reuseaddr,fork" EXEC:cat,nofork
	mine+=("$pid")
	start "$name-far" "$way" stunnel "$scratch/far.conf"
	mine+=("$pid")
	start "$name-near" "$way" stunnel "$scratch/near.conf"
	mine+=("$pid")
	wait_port "$echo" && wait_port "$far" && wait_port "$near"
	# After half a close stunnel may lose what is still to come, over any TCP.
	verdict "${name}_brings_back_what_was_sent" "$(within 100 "$way" python3 \
		"$source_dir/tests/e2e/echo_client.py" "$near" 4 200 5000000 late)" "wrong 0"
	[ "$way" = env ] || really_moved "${name}_really_moved" 24 "$before"
	for server in "${mine[@]}"; do stop "$server"; done
}

for way in env smcu_run; do
	openssl_serves_and_asks $way
	two_stunnels $way
done
finish
