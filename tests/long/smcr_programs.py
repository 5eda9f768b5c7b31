#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
redis and iperf3 in a guest, with every TCP socket turned into the kernel's AF_SMC by a preload library
(guest/as_smc.c), and the same programs under smcu on the host: each the server of the other.
"""
# time limit: 900
# alone: the eBPF programs are one set a kernel, and guests are slow

import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab
from kernel import Unavailable
from lab import expect
from talk import nothing_is_open, start_smcu, stop_smcu

PROGRAMS = ("redis-server", "redis-benchmark", "iperf3")
PRELOAD = os.path.join(lab.BUILD, "tests", "interop", "guest", "libguest-as_smc.so")
LOADER = "ld-linux-x86-64.so.2"
REDIS = "save \"\"\nappendonly no\nprotected-mode no\n"
CONFIGURATION = os.path.join(lab.CACHE, "redis.conf")
REQUESTS, CLIENTS = 3000, 20
SECONDS = 3
ports = iter(range(8000, 9000))


def libraries(path):
    """What a program is linked with, the loader too: real paths by name."""
    said = subprocess.run(["ldd", path], stdout=subprocess.PIPE, check=True).stdout.decode()
    found = re.findall(r"(?:=> )?(/\S+) \(0x", said)
    return {os.path.basename(each): os.path.realpath(each) for each in found}


def programs_with_libraries(_):
    files = {os.path.basename(PRELOAD): PRELOAD}
    if not os.path.exists(PRELOAD):
        raise Unavailable(f"{PRELOAD} is not built")
    for name in PROGRAMS:
        path = shutil.which(name)
        if not path:
            raise Unavailable(f"{name} is not installed (scripts/setup check)")
        files[name] = os.path.realpath(path)
        files.update(libraries(path))
    with open(CONFIGURATION, "w", encoding="ascii") as file:
        file.write(REDIS)
    files[os.path.basename(CONFIGURATION)] = CONFIGURATION
    return files


def in_guest(it, name, *words):
    loader = (LOADER, "--library-path", "/bin")
    return it.guests["a"].start(*loader, "--preload", f"/bin/{os.path.basename(PRELOAD)}",
                                f"/bin/{name}", *words)


def smcr_count(it):
    return it.smcu.show("stats")["remote"]["smcr"]


def benchmark_words(address, port):
    return ("-h", address, "-p", port, "-n", REQUESTS, "-c", CLIENTS, "-d", 1000, "-t",
            "set,get,lrange_100", "--csv")


def expect_benchmark(program):
    lines = [each for each in program.succeed() if each.startswith('"')]
    rates = {each.split(",")[0]: each.split(",")[1] for each in lines if "test" not in each[:6]}
    print(f"    requests/s {rates}", flush=True)
    expect({'"SET"', '"GET"'} <= set(rates), True, f"that SET and GET are in {sorted(rates)}")


def redis_benchmark_under_smcu_works_with_redis_under_the_kernels_smc(it):
    before, port = smcr_count(it), next(ports)
    server = in_guest(it, "redis-server", "/bin/redis.conf", "--bind", it.guests["a"].address,
                      "--port", port, "--dir", "/")
    wait_ready(server)
    expect_benchmark(it.smcu.start("redis-benchmark", *benchmark_words(it.guests["a"].address,
                                                                      port)))
    expect(smcr_count(it) - before >= CLIENTS, True, "that these were SMC-R")
    server.kill()
    server.wait()


def wait_ready(server):
    while "eady to accept connections" not in server.expect(""):
        pass


def redis_benchmark_under_the_kernels_smc_works_with_redis_under_smcu(it):
    before, port = smcr_count(it), next(ports)
    server = it.smcu.start("redis-server", CONFIGURATION, "--bind",
                           lab.HOST, "--port", port, "--dir", it.directory)
    wait_ready(server)
    expect_benchmark(in_guest(it, "redis-benchmark", *benchmark_words(lab.HOST, port)))
    expect(smcr_count(it) - before >= CLIENTS, True, "that these were SMC-R")
    server.kill()
    server.wait()


def expect_iperf(client):
    report = json.loads("\n".join(client.succeed()))
    end = report["end"]
    rates = {each: round(end[each]["bits_per_second"] / 8e6, 1)
             for each in ("sum_sent", "sum_received")}
    print(f"    MB/s {rates}", flush=True)
    expect(end["sum_received"]["bytes"] > 1 << 20, True, "that more than a megabyte arrived")


def iperf3(it, server, client, address):
    for words in ((), ("-R",), ("-P", 4)):
        before, port = smcr_count(it), next(ports)
        there = server("iperf3", "-s", "-4", "-1", "-B", address, "-p", port, "--forceflush")
        there.expect("Server listening")
        expect_iperf(client("iperf3", "-c", address, "-4", "-p", port, "-t", SECONDS, "-J", *words))
        there.wait()
        expect(smcr_count(it) - before >= 2, True, "that these were SMC-R")


def iperf3_under_smcu_works_with_iperf3_under_the_kernels_smc(it):
    iperf3(it, lambda *words: in_guest(it, *words), it.smcu.start, it.guests["a"].address)


def iperf3_under_the_kernels_smc_works_with_iperf3_under_smcu(it):
    iperf3(it, it.smcu.start, lambda *words: in_guest(it, *words), lab.HOST)


def nothing_is_left(it):
    nothing_is_open(it)


if __name__ == "__main__":
    lab.main("smcr_programs", ["a"], [
        redis_benchmark_under_smcu_works_with_redis_under_the_kernels_smc,
        redis_benchmark_under_the_kernels_smc_works_with_redis_under_smcu,
        iperf3_under_smcu_works_with_iperf3_under_the_kernels_smc,
        iperf3_under_the_kernels_smc_works_with_iperf3_under_smcu,
        nothing_is_left,
    ], more_programs=programs_with_libraries, before=start_smcu(), after=stop_smcu)
