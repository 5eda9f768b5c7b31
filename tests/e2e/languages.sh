#!/bin/bash
# SPDX-License-Identifier: MIT
# Servers and clients in languages with runtimes of their own: Java's selectors and its sockets that
# block, Ruby with a process and with a thread for each connection, Node.  Each with plain TCP and under smcu.
#
#   echo_client.py, Java ====> Java (NIO, one thread)
#   echo_client.py, Ruby ====> Ruby (fork, threads)
#   Node ====> Node (libuv)
#
# time limit: 180
# not for: asan (tests/long/sanitized.sh)
. "$(dirname "$0")/lib.sh"

# Ruby has signal stacks of its own, which a sanitizer's runtime would unmap.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:use_sigaltstack=0
need python3

daemon_start

# echo WAY PORT CONNECTIONS ROUNDS BYTES
echo_client() { within 100 "$1" python3 "$source_dir/tests/e2e/echo_client.py" "${@:2}"; }

# --- Java -----------------------------------------------------------------------------------------

java_write() {
	mkdir -p "$scratch/java"
	cat >"$scratch/java/Server.java" <<-'END'
		import java.net.*;
		import java.nio.*;
		import java.nio.channels.*;

		/* Sends back what comes: one thread, one selector; what cannot be sent waits. */
		public class Server {
		    public static void main(String[] arguments) throws Exception {
		        Selector selector = Selector.open();
		        ServerSocketChannel listener = ServerSocketChannel.open();
		        listener.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
		        listener.configureBlocking(false);
		        listener.register(selector, SelectionKey.OP_ACCEPT);
		        while (true) {
		            selector.select();
		            for (SelectionKey key : selector.selectedKeys())
		                if (key.isAcceptable())
		                    accept(selector, listener);
		                else
		                    echo(key);
		            selector.selectedKeys().clear();
		        }
		    }

		    static void accept(Selector selector, ServerSocketChannel listener) throws Exception {
		        SocketChannel channel = listener.accept();
		        if (channel == null)
		            return;
		        channel.configureBlocking(false);
		        channel.register(selector, SelectionKey.OP_READ, ByteBuffer.allocateDirect(65536));
		    }

		    static void echo(SelectionKey key) throws Exception {
		        SocketChannel channel = (SocketChannel) key.channel();
		        ByteBuffer buffer = (ByteBuffer) key.attachment();
		        int got = key.isReadable() ? channel.read(buffer) : 0;
		        buffer.flip();
		        channel.write(buffer);
		        boolean rest = buffer.hasRemaining();
		        buffer.compact();
		        if (got < 0 && !rest) {
		            channel.close();
		            return;
		        }
		        boolean room = buffer.hasRemaining();
		        key.interestOps((room ? SelectionKey.OP_READ : 0) | (rest ? SelectionKey.OP_WRITE : 0));
		    }
		}
	END
	cat >"$scratch/java/Client.java" <<-'END'
		import java.io.*;
		import java.net.*;
		import java.util.*;

		/* Threads that ask and compare: one block after another, then the end of file. */
		public class Client {
		    static int wrong = 0;

		    public static void main(String[] arguments) throws Exception {
		        int port = Integer.parseInt(arguments[0]);
		        Thread[] threads = new Thread[4];
		        for (int i = 0; i < threads.length; i++) {
		            int number = i;
		            threads[i] = new Thread(() -> converse(port, number));
		            threads[i].start();
		        }
		        for (Thread thread : threads)
		            thread.join();
		        System.out.println("wrong " + wrong);
		    }

		    static synchronized void add(int n) {
		        wrong += n;
		    }

		    static void converse(int port, int number) {
		        try (Socket socket = new Socket("127.0.0.1", port)) {
		            socket.setTcpNoDelay(true);
		            socket.setSoTimeout(30000);
		            DataInputStream in = new DataInputStream(socket.getInputStream());
		            OutputStream out = socket.getOutputStream();
		            Random random = new Random(number);
		            for (int round = 0; round < 500; round++) {
		                byte[] block = new byte[1 + random.nextInt(60000)];
		                byte[] answer = new byte[block.length];
		                random.nextBytes(block);
		                out.write(block);
		                in.readFully(answer);
		                if (!Arrays.equals(block, answer))
		                    add(1);
		            }
		            socket.shutdownOutput();
		            if (in.read() != -1)
		                add(1);
		        } catch (Exception error) {
		            System.out.println(error);
		            add(1);
		        }
		    }
		}
	END
	javac -d "$scratch/java" "$scratch/java/Server.java" "$scratch/java/Client.java"
}

java_echoes() {
	local way=$1 name=java_${1%%_*} port before server
	port=$(free_port)
	start "$name" "$way" "${java[@]}" Server "$port"
	server=$pid
	wait_port "$port" 30 || {
		not_ok "${name}_starts"
		head -n 20 "$scratch/$name.log"
		return
	}
	before=$(statistic moved)
	verdict "${name}_selector_sends_back" "$(echo_client "$way" "$port" 4 200 5000000)" "wrong 0"
	verdict "${name}_talks_to_itself" "$(within 100 "$way" "${java[@]}" Client "$port")" "wrong 0"
	[ "$way" = env ] || really_moved "${name}_really_moved" 16 "$before"
	stop "$server"
}

# --- Ruby -----------------------------------------------------------------------------------------

ruby_write() {
	cat >"$scratch/server.rb" <<-'END'
		require "socket"
		def echo(client)
		  while (bytes = client.readpartial(65536))
		    client.write(bytes)
		  end
		rescue EOFError
		  client.close
		end
		listener = TCPServer.new("127.0.0.1", ARGV[0].to_i)
		loop do
		  client = listener.accept
		  if ARGV[1] == "fork"
		    Process.detach(fork { listener.close; echo(client) })
		    client.close
		  else
		    Thread.new { echo(client) }
		  end
		end
	END
	cat >"$scratch/client.rb" <<-'END'
		require "socket"
		wrong = 0
		4.times do |number|
		  server = TCPSocket.new("127.0.0.1", ARGV[0].to_i)
		  random = Random.new(number)
		  200.times do
		    block = random.bytes(1 + random.rand(60000))
		    server.write(block)
		    wrong += 1 unless server.read(block.size) == block
		  end
		  server.close_write
		  wrong += 1 unless server.read.empty?
		  server.close
		end
		puts "wrong #{wrong}"
	END
}

# ruby_echoes WAY HOW: with a process, or a thread, for each connection
ruby_echoes() {
	local way=$1 name=ruby_$2_${1%%_*} port before server
	port=$(free_port)
	start "$name" "$way" ruby "$scratch/server.rb" "$port" "$2"
	server=$pid
	wait_port "$port" 30 || {
		not_ok "${name}_starts"
		head -n 20 "$scratch/$name.log"
		return
	}
	before=$(statistic moved)
	verdict "${name}_sends_back" "$(echo_client "$way" "$port" 4 200 3000000)" "wrong 0"
	verdict "${name}_talks_to_itself" "$(within 100 "$way" ruby "$scratch/client.rb" "$port")" "wrong 0"
	[ "$way" = env ] || really_moved "${name}_really_moved" 6 "$before"
	stop "$server"
}

# --- Node -----------------------------------------------------------------------------------------

node_write() {
	cat >"$scratch/echo.js" <<-'END'
		const net = require("net"), crypto = require("crypto");
		const server = net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
		server.listen(0, "127.0.0.1", () => {
		    let open = 4, wrong = 0;
		    for (let number = 0; number < 4; number++) {
		        const talk = net.connect({ port: server.address().port, host: "127.0.0.1", allowHalfOpen: true });
		        const sent = crypto.createHash("sha256"), got = crypto.createHash("sha256");
		        let rounds = 0;
		        const ask = () => {
		            if (rounds++ == 300) return talk.end();
		            const block = crypto.randomBytes(1 + crypto.randomInt(60000));
		            let missing = block.length;
		            sent.update(block);
		            talk.removeAllListeners("data");
		            talk.on("data", (part) => { got.update(part); missing -= part.length; if (missing == 0) ask(); });
		            talk.write(block);
		        };
		        talk.on("connect", ask);
		        talk.on("end", () => {
		            wrong += sent.digest("hex") != got.digest("hex");
		            if (--open == 0) { console.log("wrong " + wrong); server.close(); }
		        });
		    }
		});
	END
}

# node_echoes WAY IO_URING: libuv asks for an io_uring, where it is to, and does without
node_echoes() {
	local name=node_$2_${1%%_*} before
	before=$(statistic moved)
	verdict "${name}_talks_to_itself" \
		"$(UV_USE_IO_URING=$2 within 60 "$1" node "$scratch/echo.js" 2>&1)" "wrong 0"
	[ "$1" = env ] || wait_until 3 [ "$(statistic moved)" -gt "$before" ]
	[ "$1" = env ] || really_moved "${name}_really_moved" 8 "$before"
}

java=(java -Xshare:auto -Xmx128m -XX:+UseSerialGC -cp "$scratch/java")
if ! command -v javac >/dev/null; then
	skip java "no java compiler"
elif ! starts java -version; then
	skip java "java does not start under this sanitizer"
else
	java_write
	java_echoes env
	java_echoes smcu_run
fi
if ! command -v ruby >/dev/null; then
	skip ruby "no ruby"
elif ! starts ruby -e 0; then
	skip ruby "ruby does not start under this sanitizer"
else
	ruby_write
	for way in env smcu_run; do
		ruby_echoes $way fork
		ruby_echoes $way thread
	done
fi
if ! command -v node >/dev/null; then
	skip node "no node"
elif ! starts node -e 0; then
	skip node "node does not start under this sanitizer"
else
	node_write
	for way in env smcu_run; do
		node_echoes $way 0
		node_echoes $way 1
	done
fi
finish
