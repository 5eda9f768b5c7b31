#!/bin/bash
# SPDX-License-Identifier: MIT
# nginx with sendfile and keep-alive, asked by curl and wrk: files arrive as they are, large and
# small, whole and in ranges, whether both sides are under smcu, or one, or none.
#
# time limit: 120
# takes: 24
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
need nginx curl sha256sum

# Debian's curl hangs in setlocale() under AddressSanitizer, with and without smcu.
runtime=${preload%"$SMCU_BUILD"*}
if [ -n "$runtime" ] && ! LD_PRELOAD=$runtime timeout 10 curl --version >/dev/null 2>&1; then
	skip "$this_test" "curl does not start under this sanitizer"
	exit 0
fi

daemon_start
port=$(free_port)
site=$scratch/site
mkdir -p "$site"
chmod 755 "$scratch" "$site"
head -c 100000000 /dev/urandom >"$site/big"
for number in $(seq 50); do head -c $((number * 997)) /dev/urandom >"$site/small.$number"; done

# configure SENDFILE: one master, two workers, nothing outside the scratch directory
configure() {
	local user=
	# workers of the user that the daemon serves
	[ "$(id -u)" = 0 ] && user="user root;"
	cat >"$scratch/nginx.conf" <<-END
		$user daemon off; worker_processes 2; pid $scratch/nginx.pid; error_log $scratch/error.log;
		events { worker_connections 512; }
		http {
			access_log off; sendfile $1; tcp_nopush on; keepalive_requests 100000;
			client_body_temp_path $scratch/b; proxy_temp_path $scratch/p;
			fastcgi_temp_path $scratch/f; uwsgi_temp_path $scratch/u; scgi_temp_path $scratch/s;
			server { listen 127.0.0.1:$port; root $site; }
			server {
				listen 127.0.0.1:$((port + 1));
				location / {
					proxy_pass http://127.0.0.1:$port;
					proxy_http_version 1.1;
					proxy_set_header Connection "";
				}
			}
		}
	END
}

sum_of() { sha256sum <"$1" | cut -d ' ' -f 1; }
fetch() { timeout 60 "$@" | sha256sum | cut -d ' ' -f 1; }

# One client, one kept-alive connection, fifty files.
fifty_files() {
	local number wrong=0 urls=()
	for number in $(seq 50); do
		urls+=(-o "$scratch/got.$number" "http://127.0.0.1:$1/small.$number")
	done
	timeout 60 "${@:2}" -s "${urls[@]}" || return 1
	for number in $(seq 50); do
		cmp -s "$scratch/got.$number" "$site/small.$number" || wrong=$((wrong + 1))
	done
	[ $wrong = 0 ]
}

serve_and_check() {
	local server before how="sendfile_$1"
	configure "$1"
	start "nginx-$1" "$way" nginx -p "$scratch" -c "$scratch/nginx.conf"
	server=$pid
	wait_port "$port" || {
		not_ok "nginx_${how}_starts"
		cat "$scratch/nginx-$1.log" "$scratch/error.log"
		return
	}
	before=$(statistic moved)
	verdict "nginx_${how}_a_big_file" \
		"$(fetch "${smcu[@]}" curl -s "http://127.0.0.1:$port/big")" "$(sum_of "$site/big")"
	verdict "nginx_${how}_a_big_file_for_a_plain_client" \
		"$(fetch curl -s "http://127.0.0.1:$port/big")" "$(sum_of "$site/big")"
	verdict "nginx_${how}_a_big_file_slowly" \
		"$(fetch "${smcu[@]}" curl -s --limit-rate 80M "http://127.0.0.1:$port/big")" \
		"$(sum_of "$site/big")"
	verdict "nginx_${how}_a_range" \
		"$(fetch "${smcu[@]}" curl -s -r 1000001-1999999 "http://127.0.0.1:$port/big")" \
		"$(tail -c +1000002 "$site/big" | head -c 999999 | sha256sum | cut -d ' ' -f 1)"
	check "nginx_${how}_fifty_files_on_one_connection" fifty_files "$port" "${smcu[@]}" curl
	verdict "nginx_${how}_through_a_proxy" \
		"$(fetch "${smcu[@]}" curl -s "http://127.0.0.1:$((port + 1))/big")" "$(sum_of "$site/big")"
	check "nginx_${how}_fifty_files_through_a_proxy" fifty_files $((port + 1)) "${smcu[@]}" curl
	really_moved "nginx_${how}_really_moved" 6 "$before"
	[ "$way" = env ] || ! command -v wrk >/dev/null || under_load "$how"
	stop "$server"
}

under_load() {
	local before
	before=$(statistic moved)
	timeout 60 "${smcu[@]}" wrk -t 2 -c 40 -d 3 "http://127.0.0.1:$port/small.9" >"$scratch/wrk" 2>&1
	if grep -q 'requests in' "$scratch/wrk" && ! grep -q 'Socket errors\|Non-2xx' "$scratch/wrk" &&
		[ "$(sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' "$scratch/wrk")" -gt 40 ]; then
		ok "nginx_$1_under_load"
	else
		not_ok "nginx_$1_under_load"
		cat "$scratch/wrk"
	fi
	really_moved "nginx_$1_under_load_really_moved" 40 "$before"
}

plainly serve_and_check on
serve_and_check on
serve_and_check off
finish
