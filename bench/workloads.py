# SPDX-License-Identifier: MIT
"""One measurement of each kind: start the server, run the client, return the numbers.

Every function takes the lab and the side ("tcp" or "smcu") and returns a dictionary.  "moved_ends"
in it is how many ends of connections moved meanwhile; whoever calls says how many should have.
"""
import json
import os
import re
import time

from harness import Failure, free_port


def count_moved(lab, side, result, before, expected):
    """Add to @result how many ends moved since @before; and if too few did, the reasons known.

    Processes that just ended are counted a moment later.
    """
    result["moved_ends"] = 0
    if side != "smcu":
        return
    deadline = time.monotonic() + 1
    while True:
        result["moved_ends"] = lab.moved_ends() - before
        if result["moved_ends"] >= expected:
            return
        if time.monotonic() > deadline:
            result["reasons"] = lab.reasons()
            return
        time.sleep(0.02)


def own(lab, side, workload, server=(), server_side=None, expected=0, during=None):
    """A workload of smcu-bench: @workload and @server are its arguments.

    @during is called when the result is there and the connections still are.
    """
    port = free_port()
    started = lab.start_server([lab.bench, "server", "--address", lab.address, "--port", str(port),
                                *server], server_side or side, port)
    before = lab.moved_ends() if side == "smcu" else 0
    client = lab.start([lab.bench, *workload, "--address", lab.address, "--port", str(port), "--hold"],
                       side)
    try:
        result = json.loads(client.read_line())
    except Failure:
        if started.reap():  # it found the fault, the client only lost its connection
            raise started.failure("the server ended") from None
        raise
    if during is not None:
        during()
    count_moved(lab, side, result, before, expected)
    if "connections_made" in result:
        result["moved_percent"] = 100 * result["moved_ends"] / (2 * result["connections_made"])
    if client.finish(30) != 0:
        raise client.failure("it failed after its result")
    lab.stop(client)
    if started.reap():
        raise started.failure("the server ended")
    lab.stop(started)
    return result


IDLE_HOSTS = 1000


def idle_hosts(lab, side):
    """What a daemon's memory grows by for each of many connections that have done a little and rest."""
    kib = []
    before = lab.daemon_kib()
    result = own(lab, side, f"idle --connections {IDLE_HOSTS} --size 64 --exchanges 4 --idle 0.2 --seconds 0 "
                 "--wait poll".split(), ("--wait", "epoll"), expected=2 * IDLE_HOSTS,
                 during=lambda: kib.append(lab.daemon_kib()))
    result["daemon_kib"] = max(kib[0] - before, 0) / (2 * IDLE_HOSTS)
    return result


def alone(lab, side, workload, expected=0):
    """A workload of smcu-bench that needs no server."""
    before = lab.moved_ends() if side == "smcu" else 0
    client = lab.start([lab.bench, *workload, "--hold"], side)
    result = json.loads(client.read_line())
    count_moved(lab, side, result, before, expected)
    if client.finish(30) != 0:
        raise client.failure("it failed after its result")
    lab.stop(client)
    return result


def redis_server(lab, side, port):
    """A Redis server that keeps everything in memory."""
    return lab.start_server(["redis-server", "--port", str(port), "--bind", "127.0.0.1",
                             "--save", "", "--appendonly", "no", "--dir", lab.directory],
                            side, port)


def redis_client(port, tests, requests, clients=50):
    """The command line of redis-benchmark."""
    return ["redis-benchmark", "-p", str(port), "-t", ",".join(tests), "-c", str(clients),
            "-n", str(requests), "--csv"]


def redis_result(output):
    """Numbers of redis-benchmark --csv: set_rate, set_latency_us, get_rate, ..."""
    rows = [[cell.strip('"') for cell in line.split(",")] for line in output.splitlines()]
    titles = next((row for row in rows if row[0] == "test"), None)
    if titles is None:
        raise Failure("redis-benchmark printed no table")
    result = {}
    for row in rows:
        if row[0] in ("SET", "GET"):
            values = dict(zip(titles, row))
            name = row[0].lower()
            result[f"{name}_rate"] = float(values["rps"])
            result[f"{name}_latency_us"] = float(values["avg_latency_ms"]) * 1000
            result[f"{name}_p99_us"] = float(values["p99_latency_ms"]) * 1000
    if not result:
        raise Failure("redis-benchmark's table has neither SET nor GET")
    return result


def external(lab, side, server, client, expected, during=None):
    """Run a real @client against a started @server; @during is called while the client runs."""
    before = lab.moved_ends() if side == "smcu" else 0
    process = lab.start(client, side)
    if during is not None:
        during()
    process.read_output(time.monotonic() + 60)
    if process.finish() != 0:
        raise process.failure(f"it ended with status {process.process.returncode}")
    result = {"cpu_client_s": lab.stop(process)}
    count_moved(lab, side, result, before, expected)
    if server.reap():
        raise server.failure("the server ended")
    result["cpu_server_s"] = lab.stop(server)
    return process.output.decode(), result


def redis(lab, side, requests, tests=("set", "get"), expected=0, during=None):
    """redis-benchmark, @tests one after the other, 50 clients, no pipeline."""
    port = free_port()
    server = redis_server(lab, side, port)
    client = redis_client(port, tests, requests)
    output, result = external(lab, side, server, client, expected, during)
    result.update(redis_result(output))
    result["cpu_us_per_request"] = (
        (result["cpu_client_s"] + result["cpu_server_s"]) * 1e6 / (len(tests) * requests))
    return result


NGINX = """daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 1024; }}
http {{
	access_log off;
	client_body_temp_path {directory}/body;
	proxy_temp_path {directory}/proxy;
	fastcgi_temp_path {directory}/fastcgi;
	uwsgi_temp_path {directory}/uwsgi;
	scgi_temp_path {directory}/scgi;
	sendfile on;
	keepalive_requests 1000000000;
	server {{ listen 127.0.0.1:{port}; root {directory}/www; }}
}}
"""


def nginx_server(lab, side, port):
    """nginx, one process, with a file of 1 KB."""
    pages = os.path.join(lab.directory, "www")
    configuration = os.path.join(lab.directory, f"nginx-{port}.conf")
    os.makedirs(pages, exist_ok=True)
    with open(os.path.join(pages, "1k"), "w", encoding="ascii") as page:
        page.write("smcu " * 204 + "1KB\n")
    with open(configuration, "w", encoding="ascii") as file:
        file.write(NGINX.format(directory=lab.directory, port=port))
    return lab.start_server(["nginx", "-e", os.path.join(lab.directory, "nginx.log"),
                             "-p", lab.directory, "-c", configuration], side, port)


def wrk_us(number, unit):
    """wrk's times in microseconds."""
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def wrk_result(output):
    """Numbers of wrk --latency."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    total = re.search(r"(\d+) requests in", output)
    mean = re.search(r"Latency\s+([\d.]+)(us|ms|s)", output)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    if not (rate and total and mean and tail):
        raise Failure("wrk's output is not understood")
    errors = re.search(r"(Socket errors|Non-2xx).*", output)
    if errors:
        raise Failure(f"wrk: {errors.group(0)}")
    return {"rate": float(rate.group(1)), "requests": int(total.group(1)),
            "latency_us": wrk_us(*mean.groups()), "latency_p99_us": wrk_us(*tail.groups())}


def nginx(lab, side, seconds=1, connections=100, expected=0, during=None):
    """wrk on a 1 KB file, connections kept alive."""
    port = free_port()
    server = nginx_server(lab, side, port)
    client = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
              f"http://127.0.0.1:{port}/1k"]
    output, result = external(lab, side, server, client, expected, during)
    result.update(wrk_result(output))
    result["cpu_us_per_request"] = (
        (result["cpu_client_s"] + result["cpu_server_s"]) * 1e6 / result["requests"])
    return result


def iperf(lab, side, seconds=1, expected=0, during=None):
    """iperf3, one stream."""
    port = free_port()
    server = lab.start_server(["iperf3", "-s", "-p", str(port), "-B", "127.0.0.1"], side, port)
    client = ["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t", str(seconds), "-J"]
    output, result = external(lab, side, server, client, expected, during)
    try:
        received = json.loads(output)["end"]["sum_received"]
        result["bytes_per_s"] = received["bits_per_second"] / 8
        total = received["bytes"]
    except (ValueError, KeyError) as error:
        raise Failure(f"iperf3's output is not understood: {error}") from error
    result["cpu_ns_per_byte"] = (
        (result["cpu_client_s"] + result["cpu_server_s"]) * 1e9 / max(total, 1))
    return result
