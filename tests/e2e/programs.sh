#!/bin/bash
# SPDX-License-Identifier: MIT
# Other programs people use: iperf3 both ways, Python's asyncio with a thousand connections, socat,
# netcat-like pipes.  Content is checked wherever the program has any.  With plain TCP and under smcu.
#
# time limit: 180
# takes: 20
# not for: asan (tests/long/sanitized.sh)
. "$(dirname "$0")/lib.sh"

daemon_start

iperf_moves_bytes() {
	local port before
	command -v iperf3 >/dev/null || {
		skip iperf3 "not installed"
		return
	}
	port=$(free_port)
	start iperf "$way" iperf3 -s -p "$port" -B 127.0.0.1 --forceflush
	wait_until 10 grep -q listening "$scratch/iperf.log"
	for options in "$@"; do
		before=$(statistic moved)
		# shellcheck disable=SC2086
		check "iperf3 $options" timeout 30 "${smcu[@]}" iperf3 -c 127.0.0.1 -p "$port" -t 2 $options
		really_moved "iperf3 $options really moved" 2 "$before"
	done
	stop "$pid"
}

cat >"$scratch/echo_server.py" <<'END'
import asyncio, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
async def serve(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=2048)
    async with server:
        await server.serve_forever()
asyncio.run(main())
END
cat >"$scratch/echo_client.py" <<'END'
import asyncio, random, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
port, count, rounds = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
async def one(number):
    dice = random.Random(number)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(rounds):
        question = dice.randbytes(dice.choice((1, 10, 100, 1000, 10000)))
        writer.write(question)
        answer = await asyncio.wait_for(reader.readexactly(len(question)), 60)
        if answer != question:
            sys.exit(f"connection {number}: another answer")
    writer.write_eof()
    if await asyncio.wait_for(reader.read(), 60):
        sys.exit(f"connection {number}: something after the end")
    writer.close()
async def main():
    await asyncio.gather(*(one(number) for number in range(count)))
    print("answered", count * rounds)
asyncio.run(main())
END

asyncio_echoes() {
	local port before python=/usr/bin/python3
	[ -x $python ] || {
		skip asyncio "no python3"
		return
	}
	port=$(free_port)
	start asyncio "$way" $python "$scratch/echo_server.py" "$port"
	wait_port "$port"
	before=$(statistic moved)
	check asyncio_a_few_connections timeout 60 "${smcu[@]}" $python "$scratch/echo_client.py" "$port" 5 50
	check asyncio_a_thousand_connections \
		timeout 100 "${smcu[@]}" $python "$scratch/echo_client.py" "$port" 1000 20
	really_moved asyncio_really_moved 1000 "$before"
	check asyncio_with_a_plain_client timeout 60 $python "$scratch/echo_client.py" "$port" 20 20
	stop "$pid"
}

socat_copies_a_file() {
	local port before sum
	command -v socat >/dev/null || {
		skip socat "not installed"
		return
	}
	head -c 50000000 /dev/urandom >"$scratch/file"
	sum=$(sha256sum <"$scratch/file")
	port=$(free_port)
	before=$(statistic moved)
	start socat "$way" socat -u "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr" "CREATE:$scratch/copy"
	sleep 0.5
	check socat_sends timeout 60 "${smcu[@]}" socat -u "OPEN:$scratch/file" "TCP:127.0.0.1:$port"
	wait_until 10 cmp -s "$scratch/file" "$scratch/copy"
	verdict socat_copies_a_file "$(sha256sum <"$scratch/copy")" "$sum"
	really_moved socat_really_moved 2 "$before"

	# through a program on the other side, both ways, with a half close at the end
	port=$(free_port)
	start shell "$way" socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr" EXEC:"sha256sum"
	sleep 0.5
	verdict socat_half_close_reaches_a_program \
		"$(timeout 60 "${smcu[@]}" socat -t 30 - "TCP:127.0.0.1:$port" <"$scratch/file")" "$sum"
}

# all OPTIONS...: of iperf3
all() {
	iperf_moves_bytes "$@"
	asyncio_echoes
	socat_copies_a_file
}

plainly all "-P 2 --bidir"
all "-P 1" "-P 8" "-P 1 -R" "-P 8 -R" "-P 2 --bidir"
finish
