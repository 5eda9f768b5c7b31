#!/bin/bash
# SPDX-License-Identifier: MIT
# A server that reads what a client wants and then passes the connection to a worker, which answers:
# the stream goes on whole in shared memory.  Before it is passed to another user's process, a moved
# connection goes back to TCP; where bytes are unread it cannot, and the sender is told so.
#
# time limit: 120
. "$(dirname "$0")/lib.sh"

daemon_start

cat >"$scratch/server.py" <<'END'
import os, socket, sys
line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
if os.fork() == 0:
    line.close()
    while True:
        message, fds, _, _ = socket.recv_fds(theirs, 100, 1)
        if not fds:
            os._exit(0)
        with socket.socket(fileno=fds[0]) as talk:
            size = int(message)
            while size:
                part = talk.recv(min(size, 60000))
                talk.sendall(part)
                size -= len(part)
theirs.close()
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100)
while True:
    talk, _ = listener.accept()
    with talk:
        for _ in range(20):
            talk.sendall(talk.recv(4))
        if size := talk.recv(8):
            socket.send_fds(line, [size], [talk.fileno()])
END

cat >"$scratch/client.py" <<'END'
import os, socket, sys, threading
wrong = []
def once(number):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as talk:
        for _ in range(20):
            talk.sendall(b"ping")
            wrong.append(talk.recv(4) != b"ping")
        size = 3000000 + number
        out, back = os.urandom(size), b""
        talk.sendall(b"%08d" % size)
        sender = threading.Thread(target=talk.sendall, args=(out,))
        sender.start()
        while len(back) < size:
            part = talk.recv(100000)
            if not part:
                break
            back += part
        sender.join()
        wrong.append(back != out or talk.recv(1) != b"")
for number in range(10):
    once(number)
print(sum(wrong))
END

port=$(free_port)
start server smcu_run python3 "$scratch/server.py" "$port"
server=$pid
wait_port "$port"
before=$(statistic moved)
verdict a_worker_answers_on_the_connection_it_was_given \
	"$(timeout 60 "$SMCU" run python3 "$scratch/client.py" "$port")" 0
really_moved passed_connections_really_moved 8 "$before"
stop "$server"

cat >"$scratch/stranger.py" <<'END'
import os, socket, sys, time
path = "\0" + sys.argv[1]
house = socket.socket(socket.AF_UNIX)
house.bind(path)
house.listen()
if os.fork() == 0:
    os.setuid(65534)
    line = socket.socket(socket.AF_UNIX)
    line.connect(path)
    _, fds, _, _ = socket.recv_fds(line, 1, 1)
    with socket.socket(fileno=fds[0]) as talk:
        while part := talk.recv(1000):
            talk.sendall(part)
    os._exit(0)
line, _ = house.accept()
listener = socket.create_server(("127.0.0.1", 0))
one = socket.create_connection(listener.getsockname())
other, _ = listener.accept()
for _ in range(50):
    one.sendall(b"ping")
    other.sendall(other.recv(4))
    one.recv(4)
    time.sleep(0.002)
def offer():
    try:
        socket.send_fds(line, [b"x"], [other.fileno()])
        print("passed", end=" ")
    except PermissionError:
        print("refused", end=" ")
one.sendall(b"unread")
time.sleep(0.1)
offer()
print(other.recv(6).decode(), end=" ")
offer()
other.close()
one.sendall(b"there")
print(one.recv(5).decode(), end=" ")
one.close()
os.wait()
END
if [ "$(id -u)" = 0 ]; then
	verdict a_moved_connection_goes_back_before_it_is_passed_to_another_user \
		"$(SMCU_MOVE_AFTER=0 timeout 20 "$SMCU" run python3 "$scratch/stranger.py" "$scratch/house")" "refused unread passed there "
else
	skip a_moved_connection_goes_back_before_it_is_passed_to_another_user "needs root"
fi

finish
