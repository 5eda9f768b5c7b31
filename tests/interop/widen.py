# SPDX-License-Identifier: MIT
"""
The kernel's SMC modules with one condition changed, so that guests speak SMC-Rv1 over Soft-RoCE.

Linux uses SMC-Rv1 only where the RNIC has a GID of RoCE version 1, and Soft-RoCE has none; that is
all that keeps the two apart.  Here Debian's own source of the two modules is compiled with
IPv4-mapped GIDs of RoCE version 2 taken as well.  Nothing of the kernel's source is in this tree:
it comes from Debian's packages, of the very version of the guests' kernel, and what is made of it
stays in the cache.
"""

import glob
import os
import shutil
import subprocess
import tarfile

from kernel import Unavailable, download_packages, run

MODULES = ("smc", "smc_diag")
CONDITION = "attr->gid_type == IB_GID_TYPE_ROCE)"
WIDER = ("(attr->gid_type == IB_GID_TYPE_ROCE || (attr->gid_type == IB_GID_TYPE_ROCE_UDP_ENCAP && "
         "ipv6_addr_v4mapped((const struct in6_addr *)&attr->gid))))")
PLACES = 2  # where a GID is chosen, and where it is looked for again
# These two modules and no more; type information would need a kernel that is not at hand.
OPTIONS = ("CONFIG_SMC=m", "CONFIG_SMC_DIAG=m", "CONFIG_SMC_LO=", "CONFIG_DEBUG_INFO_BTF_MODULES=",
           "KBUILD_MODPOST_WARN=1")


def unpack_source(package_file, directory):
    """net/smc out of the archive that is within the package of the source."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package_file],
                          stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as outer:
            member = next(each for each in outer if each.name.endswith(".tar.xz"))
            with tarfile.open(fileobj=outer.extractfile(member), mode="r|xz") as inner:
                for each in inner:
                    if "/net/smc/" in each.name and each.isfile():
                        each.name = os.path.basename(each.name)
                        inner.extract(each, directory, set_attrs=False)
        process.stdout.read()


def widen(directory):
    path = os.path.join(directory, "smc_ib.c")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(CONDITION) != PLACES:
        raise Unavailable("this kernel's SMC chooses GIDs in another way")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(CONDITION, WIDER))


def unpack_headers(packages, root, release):
    """The headers, made to find each other where they are; the directory to build from."""
    for each in packages:
        run("dpkg-deb", "-x", each, root)
    common = release.rsplit("-", 1)[0]
    headers = os.path.join(root, "usr/src", f"linux-headers-{release}")
    with open(os.path.join(headers, "Makefile"), "w", encoding="utf-8") as file:
        file.write(f"include {root}/usr/src/linux-headers-{common}-common/Makefile\n")
    return headers


def build(work, release, version, target):
    common = release.rsplit("-", 1)[0]
    names = [f"linux-headers-{release}", f"linux-headers-{common}-common", f"linux-kbuild-{common}",
             "linux-source-" + ".".join(release.split(".")[:2])]
    download_packages([f"{name}={version}" for name in names], work)
    files = [glob.glob(os.path.join(work, f"{glob.escape(name)}_*.deb"))[0] for name in names]
    source = os.path.join(work, "smc")
    os.makedirs(source)
    unpack_source(files[-1], source)
    widen(source)
    headers = unpack_headers(files[:-1], os.path.join(work, "root"), release)
    run("nice", "-n", "10", "make", "-s", "-C", headers, f"M={source}", *OPTIONS, "modules")
    os.makedirs(target)
    for name in MODULES:
        module = os.path.join(source, name + ".ko")
        run("strip", "--strip-debug", module)
        shutil.copy(module, target)


def widened_modules(kernel):
    """The path of each changed module by its name, for a kernel's directory; made if need be."""
    target = os.path.join(kernel, "widened")
    if not os.path.isdir(target):
        with open(os.path.join(kernel, "version"), encoding="ascii") as file:
            version = file.read()
        work = os.path.join(kernel, "work")
        shutil.rmtree(work, ignore_errors=True)
        try:
            made = os.path.join(work, "made")
            os.makedirs(work)
            build(work, os.path.basename(kernel), version, made)
            os.rename(made, target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return {name: os.path.join(target, name + ".ko") for name in MODULES}
