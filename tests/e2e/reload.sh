#!/bin/bash
# SPDX-License-Identifier: MIT
# Servers that are given a new configuration, or a new binary, while they serve: the old processes
# finish what they have, the new ones take the listeners over, and no request fails.  Each with plain
# TCP and under smcu.
#
#   web_client.py ====> nginx, apache2: reload, upgrade
#   web_client.py ====> haproxy (reload) ====> nginx
#
# time limit: 180
# takes: 40
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
need nginx python3

reloads=${1:-3}
daemon_start
let_others_in
site=$scratch/site
mkdir -p "$site"
chmod 755 "$site"
for number in $(seq 9); do head -c $((number * 997)) /dev/urandom >"$site/small.$number"; done
head -c 300000 /dev/urandom >"$site/large"

# The first process of a server that went to the background, by the file that it wrote.
first_of() {
	wait_until 10 test -s "$1" || return 1
	started+=("$(cat "$1")")
}
is_over() { ! kill -0 "$1" 2>/dev/null; }

# load_begin WAY PORT: four kept connections, two that are new for each request; its number in $load
load_begin() {
	start "load-$1" "$1" python3 "$source_dir/tests/e2e/web_client.py" "$2" "$site" 4 2
	load=$pid
	sleep 1
}

# load_end NAME WAY CLOSINGS: no request may have failed, and only so often may the kept connections have
# been closed while a request was on its way
load_end() {
	local last unlucky
	kill "$load"
	wait "$load"
	last=$(tail -n 1 "$scratch/load-$2.log")
	unlucky=${last##* }
	case $last in
	"answered "[1-9]*" failed 0 unlucky "[0-9]*) [ "$unlucky" -le $((4 * $3)) ] && ok "$1" ;;
	*) false ;;
	esac || {
		not_ok "$1" "$last"
		head -n 20 "$scratch/load-$2.log"
	}
	echo "$1: $last"
}

# --- nginx ----------------------------------------------------------------------------------------

# A new binary gets no more of the environment than is named here.
nginx_configure() {
	cat >"$scratch/nginx.conf" <<-END
		worker_processes 2; pid $scratch/nginx.pid; error_log $scratch/error.log;
		env LD_PRELOAD; env SMCU_SOCKET; env ASAN_OPTIONS; env UBSAN_OPTIONS;
		events { worker_connections 512; }
		http {
			access_log off; sendfile on; keepalive_requests 100000;
			client_body_temp_path $scratch/b; proxy_temp_path $scratch/p;
			fastcgi_temp_path $scratch/f; uwsgi_temp_path $scratch/u; scgi_temp_path $scratch/s;
			server { listen 127.0.0.1:$1; root $site; }
		}
	END
}

nginx_upgrade() {
	local old
	old=$(cat "$scratch/nginx.pid")
	kill -USR2 "$old"
	wait_until 10 test -s "$scratch/nginx.pid.oldbin" && wait_until 10 test -s "$scratch/nginx.pid" || return 1
	first_of "$scratch/nginx.pid"
	sleep 0.3
	kill -WINCH "$old"
	sleep 0.3
	kill -QUIT "$old"
	wait_until 20 is_over "$old"
}

nginx_reloads() {
	local way=$1 name=nginx_${1%%_*} port before
	port=$(free_port)
	nginx_configure "$port"
	"$way" "$(command -v nginx)" -p "$scratch" -c "$scratch/nginx.conf" || {
		not_ok "${name}_starts"
		return
	}
	first_of "$scratch/nginx.pid"
	before=$(statistic moved)
	load_begin "$way" "$port"
	for _ in $(seq "$reloads"); do
		"$way" "$(command -v nginx)" -p "$scratch" -c "$scratch/nginx.conf" -s reload
		sleep 0.5
	done
	load_end "${name}_no_request_fails_while_it_is_reloaded" "$way" "$reloads"
	load_begin "$way" "$port"
	check "${name}_takes_a_new_binary" nginx_upgrade
	sleep 0.5
	load_end "${name}_no_request_fails_while_its_binary_is_exchanged" "$way" 1
	[ "$way" = env ] || really_moved "${name}_really_moved" 16 "$before"
	stop "$(cat "$scratch/nginx.pid")"
	wait_until 10 test ! -e "$scratch/nginx.pid"
}

# --- apache2 --------------------------------------------------------------------------------------

# It ends with its whole process group, hence setsid.  Its workers are another user's where we are root.
apache_configure() {
	cat >"$scratch/apache.conf" <<-END
		ServerRoot $scratch
		ServerName test
		LoadModule mpm_$1_module /usr/lib/apache2/modules/mod_mpm_$1.so
		LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
		PidFile $scratch/apache.pid
		ErrorLog $scratch/apache-error.log
		Mutex file:$scratch default
		User www-data
		Group www-data
		Listen 127.0.0.1:$2
		StartServers 2
		KeepAlive On
		KeepAliveTimeout 60
		MaxKeepAliveRequests 0
		EnableSendfile On
		DocumentRoot $site
		<Directory />
			Require all granted
		</Directory>
	END
}

apache_reloads() {
	local way=$1 name="apache_$2_${1%%_*}" port before server
	command -v apache2 >/dev/null || {
		skip "$name" "no apache2"
		return
	}
	port=$(free_port)
	apache_configure "$2" "$port"
	start "$name" "$way" setsid apache2 -D FOREGROUND -f "$scratch/apache.conf"
	server=$pid
	wait_port "$port" || {
		not_ok "${name}_starts"
		cat "$scratch/$name.log" "$scratch/apache-error.log"
		return
	}
	before=$(statistic moved)
	load_begin "$way" "$port"
	for _ in $(seq "$reloads"); do
		kill -USR1 "$server"
		sleep 0.6
	done
	load_end "${name}_no_request_fails_while_it_is_reloaded" "$way" "$reloads"
	[ "$way" = env ] || really_moved "${name}_really_moved" 8 "$before"
	stop "$server"
}

# --- haproxy --------------------------------------------------------------------------------------

haproxy_configure() {
	cat >"$scratch/haproxy.cfg" <<-END
		global
			stats socket $scratch/haproxy.sock mode 600 level admin expose-fd listeners
			nbthread 2
		defaults
			mode tcp
			timeout connect 10s
			timeout client 60s
			timeout server 60s
		frontend web
			bind 127.0.0.1:$1
			default_backend web
		backend web
			$3
			server nginx 127.0.0.1:$2
	END
}

# One exchange after another on a connection that it keeps, and a last one when it is told to end.
cat >"$scratch/keeper.py" <<'END'
import signal, socket, sys, time
ending = []
signal.signal(signal.SIGTERM, lambda *_: ending.append(1))
talk = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30)
wanted = open(sys.argv[2], "rb").read()

def exchange():
    talk.sendall(b"GET /small.3 HTTP/1.1\r\nHost: test\r\n\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        piece = talk.recv(1 << 16)
        assert piece, "the connection ended"
        head += piece
    got = head.split(b"\r\n\r\n", 1)[1]
    while len(got) < len(wanted):
        piece = talk.recv(1 << 16)
        assert piece, "the connection ended"
        got += piece
    assert got == wanted

exchange()
print("begun", flush=True)
while not ending:
    exchange()
    time.sleep(0.01)
exchange()
print("kept")
END

# Does process PID answer on the socket that was to be handed over?
haproxy_is() { echo "show info" | socat - "UNIX-CONNECT:$scratch/haproxy.sock" | grep -qx "Pid: $1"; }

# haproxy_reloads WAY NAME OPTION: with the listeners of the former process, which stays until its last
# connection ends.
haproxy_reloads() {
	local way=$1 name="haproxy_$2_${1%%_*}" port web before server first keeper
	command -v haproxy >/dev/null && command -v socat >/dev/null || {
		skip "$name" "no haproxy or no socat"
		return
	}
	port=$(free_port) web=$(free_port)
	nginx_configure "$web"
	"$way" "$(command -v nginx)" -p "$scratch" -c "$scratch/nginx.conf"
	first_of "$scratch/nginx.pid"
	haproxy_configure "$port" "$web" "$3"
	start "$name" "$way" haproxy -db -f "$scratch/haproxy.cfg"
	server=$pid first=$pid
	wait_port "$port" || {
		not_ok "${name}_starts"
		cat "$scratch/$name.log"
		return
	}
	before=$(statistic moved)
	load_begin "$way" "$port"
	start "$name-keeper" "$way" python3 "$scratch/keeper.py" "$port" "$site/small.3"
	keeper=$pid
	wait_until 20 grep -q begun "$scratch/$name-keeper.log"
	for _ in $(seq "$reloads"); do
		start "$name" "$way" haproxy -db -f "$scratch/haproxy.cfg" -x "$scratch/haproxy.sock" \
			-sf "$server"
		server=$pid
		wait_until 20 haproxy_is "$server"
		sleep 0.4
	done
	load_end "${name}_no_request_fails_while_it_is_reloaded" "$way" 0
	stop "$keeper"
	verdict "${name}_a_connection_lives_through_reloads" \
		"$(tail -n 1 "$scratch/$name-keeper.log")" kept
	check "${name}_the_first_process_ends_with_its_last_connection" wait_until 10 is_over "$first"
	[ "$way" = env ] || really_moved "${name}_really_moved" 20 "$before"
	stop "$server"
	stop "$(cat "$scratch/nginx.pid")"
	wait_until 10 test ! -e "$scratch/nginx.pid"
}

for way in env smcu_run; do
	nginx_reloads $way
	apache_reloads $way prefork
	apache_reloads $way event
	haproxy_reloads $way copying ""
	haproxy_reloads $way splicing "option splice-request
			option splice-response"
done
finish
