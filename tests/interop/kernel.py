# SPDX-License-Identifier: MIT
"""
The kernel that guests run: Debian's own, taken out of its package, never installed.

apt-get downloads the package; what guests need of it is kept in build/interop/kernel/VERSION/:

    vmlinux         the ELF kernel, uncompressed, so that no guest has to do it
    NAME.ko         the modules of ROOTS and all that they depend on, uncompressed
    modules.list    their names in the order in which they load
    version         of the package

A second run finds them there and asks nobody.
"""

import fnmatch
import glob
import lzma
import os
import re
import shutil
import struct
import subprocess
import tarfile

# Debian 12's 6.1 does not do: its Soft-RoCE does not tell SMC the state of a queue pair.
META_PACKAGE = "linux-image-6.12-amd64"

# crc32_generic stands here because rxe asks for it by another name than that of a module.
ROOTS = ("crc32_pclmul", "crc32_generic", "virtio_net", "rdma_rxe", "smc", "smc_diag", "tcp_diag")
WANTED = ("./boot/vmlinuz-*", "./lib/modules/*/kernel/*.ko.xz", "./lib/modules/*/kernel/*.ko")
ZSTD_MAGIC, XZ_MAGIC = b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0"


class Unavailable(Exception):
    """The lab cannot be set up here; the text says why."""


def run(*command, **options):
    """The output of a command, or Unavailable with its last line of complaint."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              env={**os.environ, "LC_ALL": "C"}, **options)
    except OSError as error:
        raise Unavailable(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        raise Unavailable(f"{command[0]} failed: {last}")
    return done.stdout


def uncompress(data):
    if data.startswith(ZSTD_MAGIC):
        return run("zstd", "-d", "-c", input=data)
    if data.startswith(XZ_MAGIC):
        return lzma.LZMADecompressor().decompress(data)
    raise Unavailable("the kernel is compressed in a way that is not known here")


def elf_of(image):
    """The ELF kernel within a bzImage: the boot protocol's header says where it is."""
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    return uncompress(image[start:start + length - 4])  # the last four bytes repeat its size


def module_name(path):
    return os.path.basename(path).split(".")[0].replace("-", "_")


def depends(module):
    """Names of the modules that a module says it needs."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name.replace("-", "_") for name in found.group(1).decode().split(",") if name]


def load_order(modules, names, order):
    """Append to a list the names of modules, each after those that it depends on."""
    for name in names:
        if name not in modules:
            raise Unavailable(f"the kernel package has no module {name}")
        if name not in order:
            load_order(modules, depends(modules[name]), order)
            order.append(name)
    return order


class Modules(dict):
    """The modules of an unpacked package by name, uncompressed when they are asked for."""

    def __init__(self, directory):
        super().__init__()
        found = glob.glob(os.path.join(directory, "lib/modules/**/*.ko*"), recursive=True)
        self.paths = {module_name(path): path for path in found}

    def __contains__(self, name):
        return name in self.paths

    def __missing__(self, name):
        with open(self.paths[name], "rb") as file:
            data = file.read()
        self[name] = uncompress(data) if data.startswith(XZ_MAGIC) else data
        return self[name]


def package_name():
    """The package that the meta package stands for today."""
    text = run("apt-cache", "depends", META_PACKAGE).decode()
    found = re.search(r"Depends: (linux-image-\S+)", text)
    if not found:
        raise Unavailable(f"apt knows no {META_PACKAGE}")
    return found.group(1)


def download_packages(packages, directory):
    run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages, cwd=directory)


def download_now(directory):
    """Name and file of the package, with what apt knows now."""
    package = package_name()
    download_packages([package], directory)
    return package, glob.glob(os.path.join(directory, "*.deb"))[0]


def download(directory):
    """The same; apt may have heard nothing, or that of a version that is gone."""
    try:
        return download_now(directory)
    except Unavailable:
        run("apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", "update")
        return download_now(directory)


def unpack(package_file, directory):
    """Only what is wanted; the rest of the package is four times as much."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package_file],
                          stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                if any(fnmatch.fnmatch(member.name, pattern) for pattern in WANTED):
                    archive.extract(member, directory, set_attrs=False)


def build(unpacked, target):
    image, = glob.glob(os.path.join(unpacked, "boot/vmlinuz-*"))
    with open(image, "rb") as source, open(os.path.join(target, "vmlinux"), "wb") as elf:
        elf.write(elf_of(source.read()))
    modules = Modules(unpacked)
    order = load_order(modules, ROOTS, [])
    for name in order:
        with open(os.path.join(target, name + ".ko"), "wb") as file:
            file.write(modules[name])
    with open(os.path.join(target, "modules.list"), "w", encoding="ascii") as file:
        file.write("".join(name + "\n" for name in order))


def kernel(cache):
    """The directory with the kernel and its modules, made if it is not there yet."""
    present = sorted(glob.glob(os.path.join(cache, "*", "modules.list")))
    if present:
        return os.path.dirname(present[-1])
    os.makedirs(cache, exist_ok=True)
    work = os.path.join(cache, "work")
    shutil.rmtree(work, ignore_errors=True)
    try:
        os.makedirs(os.path.join(work, "made"))
        package, package_file = download(work)
        unpack(package_file, work)
        build(work, os.path.join(work, "made"))
        with open(os.path.join(work, "made", "version"), "wb") as file:
            file.write(run("dpkg-deb", "--show", "--showformat=${Version}", package_file))
        target = os.path.join(cache, package[len("linux-image-"):])
        os.rename(os.path.join(work, "made"), target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target
