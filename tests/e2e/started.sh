#!/bin/bash
# SPDX-License-Identifier: MIT
# Servers that start a program or a process for each connection, as inetd does: what they serve comes
# whole, and the connection moves although another program than the one that accepted it drives it.  With plain
# TCP and under smcu.
#
# time limit: 180
. "$(dirname "$0")/lib.sh"

daemon_start

git_clones_from_its_daemon() {
	local port before server
	command -v git >/dev/null || {
		skip git_clones_from_its_daemon "no git"
		return
	}
	port=$(free_port)
	export GIT_CONFIG_NOSYSTEM=1 HOME=$scratch
	rm -rf "$scratch/origin" "$scratch/clone"
	git init -q "$scratch/origin"
	head -c 20000000 /dev/urandom >"$scratch/origin/big"
	for number in $(seq 200); do
		head -c 1000 /dev/urandom >"$scratch/origin/small.$number"
	done
	git -C "$scratch/origin" add .
	git -C "$scratch/origin" -c user.name=a -c user.email=a@b commit -qm all
	start git-daemon "$way" git daemon --reuseaddr --listen=127.0.0.1 --port="$port" \
		--base-path="$scratch" --export-all
	server=$pid
	wait_port "$port"
	before=$(statistic moved)
	check git_clones timeout 60 "${smcu[@]}" git clone -q "git://127.0.0.1:$port/origin" "$scratch/clone"
	check git_clone_is_whole git -C "$scratch/clone" fsck --full --no-progress
	check git_clone_is_the_same diff -rq --exclude=.git "$scratch/origin" "$scratch/clone"
	really_moved git_connections_really_moved 2 "$before"
	stop "$server"
}

# ask_questions PORT: how many of the answers were wrong, and what follows the last
ask_questions() {
	timeout 60 "${smcu[@]}" python3 - "$1" <<-'END'
		import socket, sys
		talk = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		lines = talk.makefile("rwb", buffering=0)
		wrong = 0
		for number in range(2000):
		    lines.write(b"question %d\n" % number)
		    wrong += lines.readline() != b"answer %d\n" % number
		talk.shutdown(socket.SHUT_WR)
		print(wrong, lines.readline())
	END
}

# Lines to a program on standard input and output, which reads them with fgets() and answers with printf().
a_filter_for_each_connection() {
	local port before server
	port=$(free_port)
	start socat "$way" socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" \
		"EXEC:$programs/filter,nofork"
	server=$pid
	wait_port "$port"
	before=$(statistic moved)
	for number in 1 2 3; do
		verdict "filter_answers_client_$number" "$(ask_questions "$port")" "0 b''"
	done
	really_moved filter_connections_really_moved 6 "$before"
	stop "$server"
}

# CPython's subprocess starts by vfork(2) and closes all descriptors from three on.  A connection that had not
# moved by then would stay TCP (inherit.h): so many answers come first.
python_starts_a_filter_for_each_connection() {
	local port before server
	port=$(free_port)
	cat >"$scratch/server.py" <<-'END'
		import socket, subprocess, sys
		listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		while True:
		    talk = listener.accept()[0]
		    for number in range(1000):
		        talk.sendall(talk.recv(100).replace(b"question", b"answer"))
		    filter = subprocess.Popen(["sed", "-u", "s/question/answer/"], stdin=talk, stdout=talk)
		    talk.close()
		    filter.wait()
	END
	start python smcu_run python3 "$scratch/server.py" "$port"
	server=$pid
	wait_port "$port"
	# what looked whether the port answers was served as well
	before=$(statistic moved)
	for number in 1 2; do
		verdict "python_filter_answers_client_$number" "$(ask_questions "$port")" "0 b''"
	done
	really_moved python_filter_connections_really_moved 4 "$before"
	stop "$server"
}

# A connection with unread bytes as the standard input of a program that will not have the library: which
# one, and why, is said once.
programs_without_the_shim_are_named() {
	local static
	static=$(PATH=$PATH:/sbin command -v ldconfig) || {
		skip programs_without_the_shim_are_named "no static program"
		return
	}
	cp "$(type -P true)" "$scratch/other-user"
	chown 1 "$scratch/other-user" 2>/dev/null && chmod 4755 "$scratch/other-user"
	SMCU_MOVE_AFTER=0 timeout 60 "$SMCU" run --verbose python3 - "$static" "$scratch/other-user" \
		2>"$scratch/named.log" <<-'END'
			import os, socket, subprocess, sys, time
			listener = socket.create_server(("127.0.0.1", 0))
			one = socket.create_connection(listener.getsockname())
			other = listener.accept()[0]
			for number in range(50):
			    one.sendall(b"a"), other.recv(1), other.sendall(b"b"), one.recv(1)
			    time.sleep(0.001)
			other.sendall(b"unread: it cannot go back to TCP")
			for how in ["--version"], ["-p"]:
			    subprocess.run([sys.argv[1]] + how, stdin=one, stdout=subprocess.DEVNULL)
			    subprocess.run([sys.argv[2]] + how, stdin=one, stdout=subprocess.DEVNULL)
			    subprocess.run(["true"], stdin=one, env={"PATH": os.environ["PATH"]})
			    subprocess.run(["true"], stdin=one)
			    subprocess.run([sys.argv[1]] + how, stdout=subprocess.DEVNULL)
	END
	said() { grep -cE "descriptor [0-9]+ \(127.0.0.1:[0-9]+ to 127.0.0.1:[0-9]+\) .* no shim: $1" "$scratch/named.log"; }
	verdict a_static_program_is_named "$(said 'it is statically linked')" 2
	verdict a_program_without_preload_is_named "$(said 'its environment does not preload it')" 2
	if [ -u "$scratch/other-user" ]; then
		verdict a_set_user_id_program_is_named "$(said 'it changes the user or the group')" 2
	else
		skip a_set_user_id_program_is_named "not root"
	fi
	verdict no_other_program_is_named "$(grep -c 'no shim' "$scratch/named.log")" \
		"$(($([ -u "$scratch/other-user" ] && echo 6 || echo 4)))"
}

# Its descriptors were closed on the way, by what no library sees: an error, and no silence.
a_connection_without_its_rings_is_reset() {
	local got
	got=$(timeout 60 "$SMCU" run python3 - 2>&1 <<-'END'
		import os, socket, struct, subprocess, sys
		listener = socket.create_server(("127.0.0.1", 0))
		one = socket.create_connection(listener.getsockname())
		other = listener.accept()[0]
		cookie, = struct.unpack("Q", one.getsockopt(socket.SOL_SOCKET, 57, 8))
		os.environ["SMCU_INHERITED"] = "%x,900,901,902,-1,903,7,0,4194304,262144,1,1;" % cookie
		heir = """if 1:
		    import os
		    try:
		        print("read", os.read(0, 10))
		    except OSError as error:
		        print(error.strerror, os.read(0, 10), os.environ.get("SMCU_INHERITED"))
		"""
		end = subprocess.run([sys.executable, "-c", heir], stdin=one, stdout=subprocess.PIPE,
		                     stderr=subprocess.PIPE, text=True, env=os.environ)
		one.sendall(b"still here")
		print(end.stdout.strip(), end.stderr.partition(": ")[2].strip(), other.recv(20))
	END
	)
	verdict a_connection_without_its_rings_is_reset "$got" \
		"Connection reset by peer b'' None descriptor 0 came without its rings: it is reset here b'still here'"
}

a_process_for_each_connection() {
	local port before server
	port=$(free_port)
	cat >"$scratch/server.pl" <<-'END'
		use IO::Socket::INET;
		$SIG{CHLD} = 'IGNORE';
		my $listener = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1',
			LocalPort => $ARGV[0], ReuseAddr => 1) or die;
		while (1) {
			my $client = $listener->accept or next;
			if (fork == 0) {
				while (my $line = <$client>) { print $client "echo $line"; $client->flush; }
				exit 0;
			}
			close $client;
		}
	END
	start perl "$way" perl "$scratch/server.pl" "$port"
	server=$pid
	wait_port "$port"
	before=$(statistic moved)
	verdict perl_forks_and_echoes "$(timeout 60 "${smcu[@]}" perl -e '
		use IO::Socket::INET;
		my $wrong = 0;
		for my $k (1 .. 20) {
			my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $ARGV[0]) or die;
			for my $i (1 .. 200) {
				print $c "line $k $i\n";
				$c->flush;
				$wrong++ if <$c> ne "echo line $k $i\n";
			}
			close $c;
		}
		print "wrong $wrong";' "$port")" "wrong 0"
	really_moved perl_connections_really_moved 30 "$before"
	stop "$server"
}

# No child closes what it serves: who looks finds nothing of it, and each connection counts once.
children_that_end_without_closing() {
	local port server connections moved
	port=$(free_port)
	cat >"$scratch/server.py" <<-'END'
		import os, signal, socket, sys
		listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=50)
		signal.signal(signal.SIGCHLD, signal.SIG_IGN)
		while True:
		    talk = listener.accept()[0]
		    if os.fork() == 0:
		        for number in range(200):
		            talk.sendall(talk.recv(100))
		        os._exit(0)
		    talk.close()
	END
	start without-close smcu_run python3 "$scratch/server.py" "$port"
	server=$pid
	wait_port "$port"
	wait_until 5 nothing_is_open
	connections=$(statistic connections) moved=$(statistic moved)
	verdict children_that_do_not_close_answer "$(timeout 60 "$SMCU" run python3 - "$port" <<-'END'
		import socket, sys
		wrong = 0
		for number in range(200):
		    talk = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		    for line in range(200):
		        talk.sendall(b"question")
		        wrong += talk.recv(100) != b"question"
		    talk.close()
		print(wrong)
	END
	)" 0
	wait_until 5 nothing_is_open
	verdict nothing_is_left_of_what_was_not_closed "$("$SMCU" ss --json | grep -c '"pid"')" 0
	verdict what_was_not_closed_counts_once "$(($(statistic connections) - connections))" 400
	really_moved children_that_do_not_close_really_moved 100 "$moved"
	stop "$server"
	wait_until 5 no_session
	verdict what_was_not_closed_counts_once_after_all "$(($(statistic connections) - connections))" 400
}
nothing_is_open() { [ "$("$SMCU" ss --json | grep -c '"pid"')" -eq 0 ]; }
no_session() { [ "$(statistic sessions)" -le 1 ]; }

all() {
	git_clones_from_its_daemon
	a_filter_for_each_connection
	a_process_for_each_connection
}

plainly all
all
python_starts_a_filter_for_each_connection
children_that_end_without_closing
programs_without_the_shim_are_named
a_connection_without_its_rings_is_reset
finish
