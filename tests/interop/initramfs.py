# SPDX-License-Identifier: MIT
"""
The root file system of a guest: our static programs and the kernel's modules, nothing else.

It is a cpio archive in the "newc" format, not compressed: a guest unpacks it under emulation.
"""

import os

MODULES = "/modules"


def entry(name, mode, data=b"", device=(0, 0)):
    """One archive member; the inode numbers do not matter where there are no hard links."""
    name = name.lstrip("/").encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def archive(kernel, programs, other_modules):
    """
    The archive as bytes.  kernel: a directory that kernel.py made; programs: the path of each
    static program by the name that it gets in the guest's /bin, but for "init", which goes to /;
    other_modules: the path by name of modules that come from elsewhere.
    """
    names = contents(os.path.join(kernel, "modules.list")).decode().split()
    parts = [entry(name, 0o040755) for name in ("bin", "dev", "proc", "sys", "tmp", MODULES)]
    parts.append(entry("dev/console", 0o020600, device=(5, 1)))
    for name, path in programs.items():
        parts.append(entry("init" if name == "init" else f"bin/{name}", 0o100755, contents(path)))
    for name in names:
        path = other_modules.get(name, os.path.join(kernel, name + ".ko"))
        parts.append(entry(f"{MODULES}/{name}.ko", 0o100644, contents(path)))
    listing = "".join(f"{MODULES}/{name}.ko\n" for name in names)
    parts.append(entry("modules.list", 0o100644, listing.encode()))
    return b"".join(parts) + entry("TRAILER!!!", 0)
