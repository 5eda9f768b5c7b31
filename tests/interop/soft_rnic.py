#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Our soft adapter and the kernel's Soft-RoCE: rdma-core's ibv_rc_pingpong in a guest sends back what it
is sent, in messages of all lengths, each of which is compared.
"""
# time limit: 600

import glob
import os
import shutil

import kernel
import lab
from lab import expect

PACKAGES = ("ibverbs-utils", "ibverbs-providers", "libibverbs1", "libnl-3-200", "libnl-route-3-200")
# In the guest's /bin, next to what they are linked with.
FROM_PACKAGES = ("usr/bin/ibv_rc_pingpong", "usr/lib/*/libibverbs/librxe-rdmav*.so",
                 "usr/lib/*/libibverbs.so.1", "usr/lib/*/libnl-route-3.so.200",
                 "*lib/*/libnl-3.so.200")
FROM_HOST = ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/env")
SIZES = {1: 200, 44: 500, 1023: 100, 1024: 100, 1025: 100, 4097: 100, 65536: 50}
PINGPONG = os.path.join(lab.BUILD, "tests", "fabric", "pingpong")


def verbs_programs(cache):
    """What Debian has for RDMA, taken out of its packages, and the C library of this system."""
    directory = os.path.join(cache, "verbs")
    if not os.path.exists(os.path.join(directory, "complete")):
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        kernel.run("apt-get", "download", *PACKAGES, cwd=directory)
        for package in glob.glob(os.path.join(directory, "*.deb")):
            kernel.run("dpkg-deb", "-x", package, directory)
        open(os.path.join(directory, "complete"), "w", encoding="ascii").close()
    paths = list(FROM_HOST)
    for pattern in FROM_PACKAGES:
        found = glob.glob(os.path.join(directory, pattern))
        if not found:
            raise kernel.Unavailable(f"no {pattern} in {' '.join(PACKAGES)}")
        paths.append(found[0])
    return {os.path.basename(path): os.path.realpath(path) for path in paths}


def dynamic(*words):
    """How a guest runs a program that is linked with libraries, which are in its /bin."""
    return ("ld-linux-x86-64.so.2", "--library-path", "/bin", *words)


def every_message_comes_back_from_soft_roce_as_it_went(it):
    guest = it.guests["a"]
    provider = guest.run(*dynamic("/bin/env"))  # it can run programs of this system at all
    expect(bool(provider), True, "what env says")
    for port, (size, count) in enumerate(SIZES.items(), start=18515):
        server = guest.start(*dynamic("/bin/env", "RDMAV_DRIVERS=/bin/librxe", "/bin/"
                                      + dynamic()[0], *dynamic()[1:], "/bin/ibv_rc_pingpong",
                                      "-d", "rxe0", "-g", "1", "-m", "1024", "-p", port, "-s",
                                      size, "-n", count))
        client = it.start(PINGPONG, lab.BRIDGE, guest.address, str(port), str(size), str(count))
        expect(client.succeed()[-1].split(",")[0], f"same {count}", f"messages of {size} bytes")
        server.succeed()
        print(f"    {size} bytes: {client.lines[-1]}")


if __name__ == "__main__":
    lab.main("soft_rnic", ["a"], [every_message_comes_back_from_soft_roce_as_it_went],
             more_programs=verbs_programs)
