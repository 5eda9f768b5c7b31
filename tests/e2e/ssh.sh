#!/bin/bash
# SPDX-License-Identifier: MIT
# openssh, whose server executes itself anew for each connection and locks a child in a sandbox: log in,
# copy a large file both ways, forward a port.  With plain TCP and under smcu.
#
# time limit: 180
. "$(dirname "$0")/lib.sh"
need sshd ssh scp ssh-keygen
if [ "$(id -u)" != 0 ]; then
	skip ssh "sshd wants to be root"
	finish
fi
if [ "${SMCU_VARIANT:-release}" != release ]; then
	skip ssh "sshd's sandbox kills a sanitizer's runtime"
	finish
fi

daemon_start
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f "$scratch/host"
ssh-keygen -q -t ed25519 -N '' -f "$scratch/user"
options=(-q -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i "$scratch/user")
secure_shell() { timeout 60 "${@:2}" ssh "${options[@]}" -p "$port" root@127.0.0.1 "$1"; }

all() {
	local before port forwarded server
	port=$(free_port) forwarded=$(free_port)
	cat >"$scratch/sshd_config" <<-END
		Port $port
		ListenAddress 127.0.0.1
		HostKey $scratch/host
		AuthorizedKeysFile $scratch/user.pub
		StrictModes no
		UsePAM no
		PidFile none
		PermitRootLogin yes
		Subsystem sftp internal-sftp
	END
	start sshd "$way" "$(command -v sshd)" -D -e -f "$scratch/sshd_config"
	wait_port "$port" || {
		not_ok sshd_starts
		cat "$scratch/sshd.log"
		return
	}
	server=$pid before=$(statistic moved)
	verdict ssh_logs_in "$(secure_shell 'echo hello' "${smcu[@]}")" hello
	verdict ssh_logs_in_without_smcu "$(secure_shell 'echo hello')" hello
	head -c 200000000 /dev/urandom >"$scratch/file"
	check ssh_copies_there timeout 60 "${smcu[@]}" scp "${options[@]}" -P "$port" "$scratch/file" \
		"root@127.0.0.1:$scratch/there"
	check ssh_copies_what_it_should cmp "$scratch/file" "$scratch/there"
	check ssh_copies_back timeout 60 "${smcu[@]}" scp "${options[@]}" -P "$port" \
		"root@127.0.0.1:$scratch/there" "$scratch/back"
	check ssh_copies_back_what_it_should cmp "$scratch/file" "$scratch/back"
	start forward "$way" ssh "${options[@]}" -p "$port" -N -L "$forwarded:127.0.0.1:$port" root@127.0.0.1
	wait_port "$forwarded"
	port=$forwarded
	verdict ssh_through_a_forwarded_port "$(secure_shell 'echo through' "${smcu[@]}")" through
	really_moved ssh_connections_really_moved 4 "$before"
	stop "$pid"
	stop "$server"
}

plainly all
all
finish
