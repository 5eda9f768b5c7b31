#!/bin/bash
# SPDX-License-Identifier: MIT
# nginx in the middle: as an HTTP proxy that keeps its connections to the server behind it or makes one
# for each request, buffering or not, and as a TCP proxy; sending files with sendfile from threads; large
# bodies both ways.  Each with plain TCP and under smcu.
#
#   curl ====> proxies ====> origin (GET from the site, PUT into the store)
#
# time limit: 180
# not for: asan (tests/long/sanitized.sh)
# takes: 40
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
need nginx curl sha256sum python3
stream_module=/usr/lib/nginx/modules/ngx_stream_module.so

starts curl --version || {
	skip "$this_test" "curl does not start under this sanitizer"
	exit 0
}

daemon_start
let_others_in
site=$scratch/site store=$scratch/store
mkdir -p "$site" "$store"
chmod 755 "$site"
chmod 777 "$store" # its workers are another user's where we are root
head -c 60000000 /dev/urandom >"$site/big"
for number in $(seq 20); do head -c $((number * 9973)) /dev/urandom >"$site/small.$number"; done
origin=$(free_port) keeping=$(free_port) fresh=$(free_port) streaming=$(free_port) tcp=$(free_port)
fronts="keeping fresh streaming"
[ -e $stream_module ] && fronts="$fronts tcp"

proxy_server() {
	echo "server { listen 127.0.0.1:$1; location / { proxy_pass http://$2; proxy_http_version 1.1;"
	echo "client_max_body_size 0; $3 } }"
}
stream_server() {
	[ -e $stream_module ] || return
	echo "stream { server { listen 127.0.0.1:$tcp; proxy_pass 127.0.0.1:$origin; } }"
}

# configure [SENDFILE...]: what the origin uses to send files
configure() {
	cat >"$scratch/nginx.conf" <<-END
		$([ -e $stream_module ] && echo "load_module $stream_module;")
		daemon off; worker_processes 2; pid $scratch/nginx.pid; error_log $scratch/error.log;
		events { worker_connections 512; }
		http {
			access_log off; keepalive_requests 100000; $*
			client_body_temp_path $scratch/b; proxy_temp_path $scratch/p;
			fastcgi_temp_path $scratch/f; uwsgi_temp_path $scratch/u; scgi_temp_path $scratch/s;
			upstream kept { server 127.0.0.1:$origin; keepalive 8; }
			server {
				listen 127.0.0.1:$origin; root $site; client_max_body_size 0;
				location /store/ { root $scratch; dav_methods PUT; }
			}
			$(proxy_server "$keeping" kept 'proxy_set_header Connection "";')
			$(proxy_server "$fresh" "127.0.0.1:$origin" "")
			$(proxy_server "$streaming" kept 'proxy_set_header Connection "";
				proxy_buffering off; proxy_request_buffering off;')
		}
		$(stream_server)
	END
}

# fetch_all WAY PORT: the large file, then small ones, all on one connection
fetch_all() {
	local name wrong=0 urls=()
	for name in big $(cd "$site" && echo small.*); do
		urls+=(-o "$scratch/got.$name" "http://127.0.0.1:$2/$name")
	done
	within 60 "$1" curl -sf "${urls[@]}" || return 1
	for name in "$site"/*; do
		cmp "$name" "$scratch/got.$(basename "$name")" || wrong=$((wrong + 1))
	done
	[ $wrong = 0 ]
}

# four_at_a_time WAY PORT: several connections at once
four_at_a_time() {
	local jobs=() number wrong=0
	for number in 1 2 3 4; do
		within 60 "$1" curl -sf -o "$scratch/got.$number" "http://127.0.0.1:$2/big" &
		jobs+=($!)
	done
	for number in 1 2 3 4; do
		wait "${jobs[number - 1]}" && cmp "$site/big" "$scratch/got.$number" || wrong=$((wrong + 1))
	done
	[ $wrong = 0 ]
}

put() {
	rm -f "$store/big"
	within 60 "$1" curl -sf -T "$site/big" "http://127.0.0.1:$2/store/big" && cmp "$site/big" "$store/big"
}

# slow_put WAY PORT: the server reads faster than it gets
slow_put() {
	rm -f "$store/slow"
	head -c 4000000 "$site/big" >"$scratch/slow"
	within 60 "$1" curl -sf --limit-rate 8M -T "$scratch/slow" "http://127.0.0.1:$2/store/slow" &&
		cmp "$scratch/slow" "$store/slow"
}

serve_and_check() {
	local way=$1 how=$2 front server before name
	configure "$3"
	start "nginx-$how" "$way" nginx -p "$scratch" -c "$scratch/nginx.conf"
	server=$pid
	wait_port "$origin" || {
		not_ok "nginx_${how}_${way%%_*}_starts"
		cat "$scratch/nginx-$how.log" "$scratch/error.log"
		return
	}
	before=$(statistic moved)
	for front in $fronts; do
		name=${front}_proxy_${how}_${way%%_*}
		check "${name}_brings_files" fetch_all "$way" "${!front}"
		check "${name}_brings_files_to_four_at_a_time" four_at_a_time "$way" "${!front}"
		check "${name}_takes_a_large_body" put "$way" "${!front}"
		check "${name}_takes_a_slow_body" slow_put "$way" "${!front}"
	done
	[ ! -s "$scratch/error.log" ] || head -n 20 "$scratch/error.log"
	[ "$way" = env ] || really_moved "proxies_${how}_really_moved" 24 "$before"
	stop "$server"
}

for way in env smcu_run; do
	serve_and_check $way threads "aio threads; sendfile on; sendfile_max_chunk 512k;"
done
serve_and_check smcu_run threads_without_sendfile "aio threads; sendfile off; output_buffers 2 512k;"
[ -e $stream_module ] || skip tcp_proxy "nginx has no stream module"
finish
