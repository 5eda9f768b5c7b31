#!/bin/bash
# SPDX-License-Identifier: MIT
# Servers of files that keep apart what they serve: a process for each connection, another user, another
# root directory, a sandbox.  Trees and files arrive as they are, there and back.  Each with plain TCP
# and under smcu.
#
#   rsync ====> rsync --daemon, as it is and in a root directory of its own
#   curl  ====> vsftpd: one connection for commands, one for each file, made by either side
#
# time limit: 120
# not for: asan (tests/long/sanitized.sh)
# takes: 50
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
need python3

daemon_start
let_others_in
tree=$scratch/tree
mkdir -p "$tree/deep/deeper" "$tree/empty"
head -c 30000000 /dev/urandom >"$tree/big"
for number in $(seq 300); do head -c $((number * 37)) /dev/urandom >"$tree/deep/small.$number"; done
ln -s ../big "$tree/deep/link"
: >"$tree/deep/deeper/nothing"

# --- rsync ----------------------------------------------------------------------------------------

rsync_configure() {
	mkdir -p "$scratch/store"
	cat >"$scratch/rsyncd.conf" <<-END
		uid = $1
		gid = $2
		use chroot = $3
		munge symlinks = no
		pid file = $scratch/rsyncd.pid
		[tree]
			path = $tree
			read only = yes
		[store]
			path = $scratch/store
			read only = no
	END
}

# rsync_both_ways WAY HOW ENDS: HOW names the configuration; so many ends must move
rsync_both_ways() {
	local way=$1 name=rsync_$2_${1%%_*} port before server
	port=$(free_port)
	rm -rf "$scratch/store" "$scratch/copy" "$scratch/rsyncd.pid"
	mkdir "$scratch/store"
	start "$name" "$way" rsync --daemon --no-detach --address=127.0.0.1 --port="$port" \
		--config="$scratch/rsyncd.conf" --log-file="$scratch/$name.log"
	server=$pid
	wait_port "$port"
	before=$(statistic moved)
	check "${name}_copies_a_tree" within 60 "$way" rsync -a "rsync://127.0.0.1:$port/tree/" \
		"$scratch/copy/"
	check "${name}_copies_what_it_should" diff -r --no-dereference "$tree" "$scratch/copy"
	printf 'changed' | dd of="$scratch/copy/big" bs=1 seek=10000000 conv=notrunc 2>/dev/null
	check "${name}_mends_a_changed_file" within 60 "$way" rsync -a --checksum --no-whole-file \
		"rsync://127.0.0.1:$port/tree/" "$scratch/copy/"
	check "${name}_mends_what_it_should" cmp "$tree/big" "$scratch/copy/big"
	check "${name}_takes_a_tree" within 60 "$way" rsync -a "$tree/" "rsync://127.0.0.1:$port/store/"
	check "${name}_takes_what_it_should" diff -r --no-dereference "$tree" "$scratch/store"
	[ "$way" = env ] || really_moved "${name}_really_moved" "$3" "$before"
	stop "$server"
}

rsync_daemon() {
	command -v rsync >/dev/null || {
		skip rsync "no rsync"
		return
	}
	rsync_configure "$(id -u)" "$(id -g)" no
	rsync_both_ways "$1" open 6
	[ "$(id -u)" = 0 ] || return
	rsync_configure 0 0 yes
	rsync_both_ways "$1" shut_in 6
}

# --- vsftpd ---------------------------------------------------------------------------------------

ftp_configure() {
	cat >"$scratch/vsftpd.conf" <<-END
		listen=YES
		listen_address=127.0.0.1
		listen_port=$1
		background=NO
		anonymous_enable=YES
		local_enable=NO
		anon_root=$scratch/ftp
		write_enable=YES
		anon_upload_enable=YES
		anon_umask=022
		secure_chroot_dir=$scratch/nothing
		connect_from_port_20=NO
		vsftpd_log_file=$scratch/vsftpd.log
		xferlog_enable=YES
		no_anon_password=YES
		$2
	END
}

# Several files in one login, each over a connection of its own.
ftp_fetch() {
	local number urls=()
	for number in 1 2 3 4 5; do
		urls+=(-o "$scratch/got.$number" "ftp://127.0.0.1:$2/small.$number")
	done
	within 60 "$1" curl -sS "${@:3}" "${urls[@]}" -o "$scratch/got.big" "ftp://127.0.0.1:$2/big" ||
		return 1
	for number in 1 2 3 4 5; do
		cmp "$scratch/got.$number" "$scratch/ftp/small.$number" || return 1
	done
	cmp "$scratch/got.big" "$tree/big"
}
ftp_put() {
	rm -f "$scratch/ftp/incoming/big"
	within 60 "$1" curl -sS "${@:3}" -T "$tree/big" "ftp://127.0.0.1:$2/incoming/big" &&
		cmp "$scratch/ftp/incoming/big" "$tree/big"
}

ftp_both_ways() {
	local way=$1 name=ftp_$2_${1%%_*} port before server
	port=$(free_port)
	ftp_configure "$port" "$3"
	start "$name" "$way" vsftpd "$scratch/vsftpd.conf"
	server=$pid
	wait_port "$port" || {
		not_ok "${name}_starts"
		cat "$scratch/$name.log"
		return
	}
	before=$(statistic moved)
	check "${name}_brings_files" ftp_fetch "$way" "$port"
	check "${name}_brings_files_over_connections_of_its_own" ftp_fetch "$way" "$port" -P -
	check "${name}_takes_a_file" ftp_put "$way" "$port"
	check "${name}_takes_a_file_over_a_connection_of_its_own" ftp_put "$way" "$port" -P -
	[ "$way" = env ] || [ -z "$4" ] || really_moved "${name}_really_moved" "$4" "$before"
	stop "$server"
}

# Its filter of system calls may be older than the kernel, and kills a sanitizer's runtime.
ftp_sandbox_works() {
	local port server
	[ "${SMCU_VARIANT:-release}" = release ] || return 1
	port=$(free_port)
	ftp_configure "$port" seccomp_sandbox=YES
	start ftp-probe env vsftpd "$scratch/vsftpd.conf"
	server=$pid
	wait_port "$port" && ftp_fetch env "$port" >/dev/null 2>&1
	set -- $?
	stop "$server"
	return "$1"
}

# Shut in, its process for the network shares the connection for commands with another, and gets those
# for files from it: they stay TCP.
ftp_server() {
	command -v vsftpd >/dev/null && command -v curl >/dev/null || {
		skip ftp "no vsftpd or no curl"
		return
	}
	starts curl --version || {
		skip "ftp_${1%%_*}" "curl does not start under this sanitizer"
		return
	}
	ftp_both_ways "$1" simple run_as_launching_user=YES 8
	[ "$(id -u)" = 0 ] || return
	ftp_both_ways "$1" shut_in seccomp_sandbox=NO ""
	if ftp_sandbox_works; then
		ftp_both_ways "$1" sandboxed seccomp_sandbox=YES ""
	else
		skip "ftp_sandboxed_${1%%_*}" "vsftpd's own filter does not let it work here"
	fi
}

mkdir -p "$scratch/ftp/incoming" "$scratch/nothing"
chmod 555 "$scratch/ftp" "$scratch/nothing"
chmod 777 "$scratch/ftp/incoming"
for number in 1 2 3 4 5; do cp "$tree/deep/small.$number" "$scratch/ftp"; done
ln "$tree/big" "$scratch/ftp/big"
chmod 644 "$scratch/ftp"/small.* "$tree/big"

for way in env smcu_run; do
	rsync_daemon $way
	ftp_server $way
done
finish
