#!/bin/bash
# SPDX-License-Identifier: MIT
# A file that is slow to read, or a pipe that another reader empties, holds up who sends from it, and no
# other sender on the connection.  strace makes it slow; what another thread sends meanwhile must come first.
#
# takes: 15
. "$(dirname "$0")/lib.sh"
need strace python3
strace -qq -o /dev/null true 2>/dev/null || {
	skip "$this_test" "strace may not trace"
	finish
}
if [ "${SMCU_VARIANT:-release}" != release ]; then
	skip "$this_test" "a sanitizer's runtime beside strace"
	finish
fi

daemon_start
printf f >"$scratch/file"
mkfifo "$scratch/fifo"
cat >"$scratch/send.py" <<'END'
import os, socket, sys, threading, time
listener = socket.create_server(("127.0.0.1", 0))
one = socket.create_connection(listener.getsockname())
other, _ = listener.accept()
for _ in range(20):
    for a, b in ((one, other), (other, one)):
        a.sendall(b"w")
        assert b.recv(1) == b"w"
    time.sleep(0.001)
def send_file():
    with open(sys.argv[2], "rb") as file:
        os.sendfile(one.fileno(), file.fileno(), 0, 1)
def splice_fifo():
    os.splice(fifo, one.fileno(), 100)
if sys.argv[1] == "fifo":
    fifo = os.open(sys.argv[2], os.O_RDWR)
    os.write(fifo, b"t")
thread = threading.Thread(target=splice_fifo if sys.argv[1] == "fifo" else send_file)
thread.start()
time.sleep(1)
if sys.argv[1] == "fifo":
    os.readv(fifo, [bytearray(1)]) # it saw that, and does not get it
sent = one.send(b"x", socket.MSG_DONTWAIT)
if sys.argv[1] == "fifo":
    os.write(fifo, b"p")
thread.join()
got = b""
while len(got) < 2:
    got += other.recv(2000)
print(sent, got)
END

# slowly KIND SYSCALL [smcu run]: the file is never in memory, and reading takes three seconds
slowly() {
	timeout 30 strace -f -qq -o /dev/null -P "$scratch/$1" -e trace=preadv2,pread64,read,sendfile,splice \
		-e inject=preadv2:error=EAGAIN -e inject="$2":delay_enter=3000000 \
		"${@:3}" /usr/bin/python3 "$scratch/send.py" "$1" "$scratch/$1"
}
export SMCU_MOVE_AFTER=0
verdict a_send_beside_a_slow_file_plain "$(slowly file sendfile)" "1 b'xf'"
verdict a_send_beside_a_drained_pipe_plain "$(slowly fifo splice)" "1 b'xp'"
before=$(statistic moved)
verdict a_send_beside_a_slow_file "$(slowly file pread64 "$SMCU" run)" "1 b'xf'"
verdict a_send_beside_a_drained_pipe "$(slowly fifo read "$SMCU" run)" "1 b'xp'"
really_moved slow_sources_really_moved 4 "${before:-0}"
finish
