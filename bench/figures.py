# SPDX-License-Identifier: MIT
"""Which figures there are: what is run for each, what is read from it, and what it must reach."""
from dataclasses import dataclass
from typing import Callable

import workloads
from harness import descriptor_limit

IDLE_MANY = 10000
IDLE_MEMORY = 1000
HIDDEN_A_CONNECTION = 3  # descriptors of a moved one beside its socket: segment, two doorbells


@dataclass
class Value:
    """One number of a figure.

    kind "ratio": smcu divided by TCP, pair by pair; "added": smcu less TCP; "absolute": smcu's own number.
    better: "higher" or "lower".  must and aim: bounds; None: for information.
    """
    key: str
    label: str
    unit: str
    better: str
    must: float = None
    aim: float = None
    kind: str = "ratio"
    scale: float = 1.0

    def reaches(self, number, bound):
        """Whether @number is as good as @bound."""
        return number >= bound if self.better == "higher" else number <= bound

    def verdict(self, number):
        """What to say of it."""
        if self.must is None:
            return ""
        if self.aim is not None and self.reaches(number, self.aim):
            return "aim"
        return "must" if self.reaches(number, self.must) else "MISSED"


@dataclass
class Figure:
    """A measurement that is run in pairs.

    run(lab, side): returns the numbers.  moved: ends that must move when under smcu; 0: none may;
    None: any number.  most_pairs: for what takes long and is no ratio.  mtu: of the wire between two
    hosts (hosts.py); None: all is on one host.
    """
    name: str
    title: str
    run: Callable
    values: list
    moved: int = None
    most_pairs: int = None
    note: str = ""
    mtu: int = None


def own(workload, expected=0, server=(), server_side=None):
    """A Figure's run() for a workload of smcu-bench."""
    def run(lab, side):
        return workloads.own(lab, side, workload.split(), server, server_side, expected)
    return run


def memory_values(must, aim):
    """An idle connection's memory."""
    return [Value("kib_per_connection", "memory", "KiB", "lower", must, aim, kind="absolute"),
            Value("shmem_kib", "  of it shared memory", "KiB", "lower", kind="absolute"),
            Value("kernel_objects_kib", "  kernel objects", "KiB", "lower", kind="absolute")]


def idle_moved():
    """How many of IDLE_MANY connections the descriptors allow to move, at the least."""
    # A program that raises its limit to the hard one leaves the shim a little less than half; the
    # two ends need not choose the same ones.
    return min(IDLE_MANY, descriptor_limit() // 2 * 8 // 10 // HIDDEN_A_CONNECTION)


def idle_note():
    """What to say when some stay TCP."""
    moved = idle_moved()
    if moved == IDLE_MANY:
        return ""
    return (f"at least {moved} of them in shared memory, the active one among them, the others TCP: the hard "
            f"limit of descriptors is {descriptor_limit()}")


def pingpong_figures(seconds):
    """One connection, latency."""
    return [
        Figure("pingpong-64", "ping-pong 64 B, 1 connection",
               own(f"pingpong --size 64 --seconds {seconds}", 2),
               [Value("latency_mean_us", "latency", "us", "lower", 0.05, 0.02),
                Value("latency_p99_us", "99th percentile", "us", "lower")], moved=2),
        Figure("pingpong-16k", "ping-pong 16 KB, 1 connection",
               own(f"pingpong --size 16k --seconds {seconds}", 2),
               [Value("latency_mean_us", "latency", "us", "lower", 0.12, 0.08),
                Value("latency_p99_us", "99th percentile", "us", "lower")], moved=2),
    ]


def rr_figures(seconds):
    """Ten connections."""
    return [
        Figure("rr-threads", "request/response 16 KB, 10 connections, threads",
               own(f"rr --size 16k --connections 10 --seconds {seconds}", 20),
               [Value("rate", "throughput", "/s", "higher", 2.11, 2.6),
                Value("latency_mean_us", "latency", "us", "lower", 0.48, 0.38),
                Value("cpu_us_per_transaction", "CPU per transaction", "us", "lower", 0.5, 0.38),
                Value("latency_p99_us", "99th percentile", "us", "lower")], moved=20),
        Figure("rr-epoll", "request/response 16 KB, 10 connections, epoll",
               own(f"rr --size 16k --connections 10 --wait epoll --seconds {seconds}", 20,
                   ("--wait", "epoll")),
               [Value("rate", "throughput", "/s", "higher", 2, 2.6),
                Value("cpu_us_per_transaction", "CPU per transaction", "us", "lower"),
                Value("latency_p99_us", "99th percentile", "us", "lower")], moved=20),
    ]


def stream_figures(quick):
    """One direction."""
    total = "512m" if quick else "2g"
    return [
        Figure("stream", "stream of 20 MB writes, 1 connection",
               own(f"stream --size 20000000 --total {total}", 2),
               [Value("bytes_per_s", "throughput", "GB/s", "higher", 3, 5, scale=1e-9),
                Value("cpu_ns_per_byte", "CPU per byte", "ns", "lower", 0.31, 0.2)], moved=2),
        Figure("iperf3", "iperf3, 1 stream",
               lambda lab, side: workloads.iperf(lab, side, expected=2),
               [Value("bytes_per_s", "throughput", "GB/s", "higher", scale=1e-9),
                Value("cpu_ns_per_byte", "CPU per byte", "ns", "lower")], moved=2),
    ]


def program_figures(quick):
    """Real servers."""
    requests = 20000 if quick else 50000
    return [
        Figure("redis", "redis-benchmark, 50 clients, no pipeline",
               lambda lab, side: workloads.redis(lab, side, requests, expected=200),
               [Value("set_rate", "SET", "/s", "higher", 1.8, 3),
                Value("get_rate", "GET", "/s", "higher", 1.8, 3),
                Value("cpu_us_per_request", "CPU per request", "us", "lower")], moved=200),
        Figure("nginx", "nginx 1 KB file, wrk, 100 connections",
               lambda lab, side: workloads.nginx(lab, side, expected=200),
               [Value("rate", "requests", "/s", "higher", 1.5, 2.5),
                Value("cpu_us_per_request", "CPU per request", "us", "lower")], moved=200),
    ]


def short_figures(seconds):
    """Connections that do not live long."""
    return [
        Figure("connect", "connect, 64 B request, answer, close",
               own(f"connect --exchanges 1 --seconds {seconds}", 0, ("--wait", "epoll")),
               [Value("rate", "connections", "/s", "higher", 0.85, 0.95)]),
        Figure("connect-move", "connect, 3 exchanges (may move at the third), close",
               own(f"connect --exchanges 3 --seconds {seconds}", 2, ("--wait", "epoll")),
               [Value("rate", "connections", "/s", "higher", 0.3, 0.5),
                Value("moved_percent", "  moved", "%", "higher", kind="absolute")], moved=2),
        Figure("connect-stay", "connect, 20 exchanges, close",
               own(f"connect --exchanges 20 --seconds {seconds}", 2, ("--wait", "epoll")),
               [Value("rate", "connections", "/s", "higher"),
                Value("moved_percent", "  moved", "%", "higher", kind="absolute")], moved=2),
    ]


def idle_figures():
    """Connections that do nothing."""
    epoll = ("--wait", "epoll")
    many, moved_many = IDLE_MANY, 2 * idle_moved()
    moved = 2 * IDLE_MEMORY * 99 // 100  # an offer that finds the session full is made with a later call
    memory = f"idle --connections {IDLE_MEMORY} --size 64k --exchanges 16 --idle 2 --seconds 0"
    crowd = f"idle --connections {many} --size 64 --exchanges 4 --wait epoll"
    return [
        Figure("memory", "memory of an idle connection after 1 MB each way",
               own(f"{memory} --wait poll", moved, epoll),
               memory_values(32, 20), moved=moved, most_pairs=3),
        Figure("memory-threads", "the same, a thread in recv at each end",
               own(f"{memory} --wait threads", moved,
                   ("--workers", str(IDLE_MEMORY + 10))),
               memory_values(32, 20), moved=moved, most_pairs=3),
        Figure("idle-many", f"{many} idle connections",
               own(f"{crowd} --idle 5 --seconds 0", moved_many, epoll),
               [Value("idle_cpu_client_percent", "CPU of the client", "%", "lower", 0.5, 0.1,
                      kind="absolute"),
                Value("idle_cpu_server_percent", "CPU of the server", "%", "lower", 0.5, 0.1,
                      kind="absolute")], moved=moved_many, most_pairs=3, note=idle_note()),
        Figure("idle-active", f"1 active among {many} idle connections",
               own(f"{crowd} --idle 0.2 --seconds 0.4", moved_many, epoll),
               [Value("latency_mean_us", "latency 64 B", "us", "lower", 1.03, 1.0)],
               moved=moved_many, note=idle_note()),
    ]


def plain_figures(seconds, quick):
    """A program under smcu whose peer is not: stays TCP and must cost nothing."""
    total = "512m" if quick else "2g"
    plain = {"server_side": "tcp"}
    return [
        Figure("plain-pingpong", "TCP peer: ping-pong 64 B",
               own(f"pingpong --size 64 --seconds {seconds}", **plain),
               [Value("rate", "throughput", "/s", "higher", 0.95, 1.0)], moved=0),
        Figure("plain-stream", "TCP peer: stream of 20 MB writes",
               own(f"stream --size 20000000 --total {total}", **plain),
               [Value("bytes_per_s", "throughput", "GB/s", "higher", 0.95, 1.0, scale=1e-9)],
               moved=0),
        Figure("plain-small", "TCP peer: stream of 64 B writes",
               own("stream --size 64 --warmup-bytes 1m --total "
                   + ("16m" if quick else "64m"), **plain),
               [Value("bytes_per_s", "throughput", "GB/s", "higher", 0.95, 1.0, scale=1e-9)],
               moved=0),
    ]


def other_figures(seconds, quick):
    """What smcu costs where it has nothing to do."""
    idle = 1 if quick else 3
    def added(key, label, unit, must, scale=1.0):
        return Value(key, label, unit, "lower", must, kind="added", scale=scale)
    def percent(key, label):
        return Value(key, label, "%", "lower", 0.1, 0.02, kind="absolute")
    def alone(workload, expected=0):
        return lambda lab, side: workloads.alone(lab, side, workload.split(), expected)
    return [
        Figure("calls", "calls on descriptors that are no sockets", alone(f"calls --seconds {seconds}", 2),
               [value for name, what in (("read", "read of a pipe"), ("write", "write to a pipe"),
                                         ("poll", "poll of an eventfd"))
                for value in (Value(f"{name}_ns", what, "ns", "lower"),
                              added(f"{name}_ns", "  added", "ns", 200))], moved=2),
        Figure("start", "start and end of /bin/true", alone(f"start --seconds {seconds}"),
               [Value("latency_us", "time", "ms", "lower", scale=1e-3),
                added("latency_us", "  added", "ms", 2, scale=1e-3)]),
        Figure("blocked", "CPU of who waits", alone(f"blocked --idle {idle}", 8),
               [percent("blocked_read_percent", "in a blocking read"),
                percent("idle_epoll_percent", "in epoll"),
                percent("stopped_peer_read_percent", "to read, peer stopped"),
                percent("stopped_peer_write_percent", "to write, the same")], moved=8, most_pairs=3),
    ]


def hosts_figures(seconds, quick):
    """Two hosts, SMC-R by soft RNICs against TCP between the same namespaces."""
    total = "128m" if quick else "512m"
    epoll = ("--wait", "epoll")
    def stream(mtu, must, aim):
        return Figure(f"hosts-stream-{mtu}", f"two hosts, MTU {mtu}: stream of 1 MB writes",
                      own(f"stream --size 1000000 --total {total}", 2),
                      [Value("bytes_per_s", "throughput", "GB/s", "higher", must, aim, scale=1e-9)],
                      moved=2, mtu=mtu)
    return [
        stream(9000, 0.35, 0.8), stream(1500, None, None),
        Figure("hosts-pingpong", "two hosts: ping-pong 64 B, 1 connection",
               own(f"pingpong --size 64 --seconds {seconds}", 2),
               [Value("latency_mean_us", "latency", "us", "lower", 2.5, 1.8),
                Value("latency_p99_us", "99th percentile", "us", "lower")], moved=2, mtu=9000),
        Figure("hosts-rr", "two hosts: request/response 16 KB, 10 connections",
               own(f"rr --size 16k --connections 10 --wait epoll --seconds {seconds}", 20, epoll),
               [Value("rate", "throughput", "/s", "higher", 0.5, 1.0)], moved=20, mtu=9000),
        Figure("hosts-connect", "two hosts: connect, 64 B request, answer, close",
               own(f"connect --exchanges 1 --seconds {seconds}", 2, epoll),
               [Value("rate", "connections", "/s", "higher", 0.3, 0.6)], moved=2, mtu=9000),
        Figure("hosts-memory", f"two hosts: {IDLE_MEMORY} idle connections", workloads.idle_hosts,
               [Value("daemon_kib", "memory of a daemon, each", "KiB", "lower", 64, 24,
                      kind="absolute")], moved=2 * IDLE_MEMORY, most_pairs=3, mtu=9000),
    ]


def all_figures(quick):
    """Every figure, in the order of the table."""
    seconds = 0.3 if quick else 0.6
    return [*pingpong_figures(seconds), *rr_figures(seconds), *stream_figures(quick),
            *program_figures(quick), *short_figures(seconds), *idle_figures(),
            *plain_figures(seconds, quick), *other_figures(seconds, quick),
            *hosts_figures(seconds, quick)]
