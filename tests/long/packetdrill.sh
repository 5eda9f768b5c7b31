#!/bin/bash
# SPDX-License-Identifier: MIT
# Packetdrill's scripts for TCP, bare and under smcu: what passes bare must pass under smcu.  Their peer is a
# script on a tun device, so that every connection stays TCP: this is about the shim's calls before a move.
# They need a tree of packetdrill that was configured and built, and root:
#
#   git clone https://github.com/google/packetdrill && cd packetdrill/gtests/net/packetdrill &&
#   ./configure && make
#   PACKETDRILL=/path/to/packetdrill tests/run long/packetdrill
#
# Each script runs over IPv4, IPv6 and IPv4 in IPv6, as packetdrill's own run_all.py has it, in a network
# namespace of its own, since they set the parameters of TCP, with a tolerance of 30 ms: the first connection
# of a process meets the daemon.  PACKETDRILL_ONLY="close/x.pkt": only those.
#
# time limit: 3600
. "$(dirname "$0")/../e2e/lib.sh"

net=${PACKETDRILL:-}/gtests/net
if [ -z "${PACKETDRILL:-}" ] || [ ! -x "$net/packetdrill/packetdrill" ]; then
	skip packetdrill "\$PACKETDRILL names no built tree of packetdrill"
	exit 0
fi
if ! unshare -n true 2>/dev/null || [ ! -c /dev/net/tun ]; then
	skip packetdrill "needs network namespaces and /dev/net/tun"
	exit 0
fi

# What run_all.py says for each kind of address.
four="--local_ip=192.168.0.1 --gateway_ip=192.168.0.1 --netmask_ip=255.255.0.0 --remote_ip=192.0.2.1
-D TFO_COOKIE=3021b9d889017eeb -D CODE=host_unreachable"
in_six="-D CMSG_LEVEL_IP=SOL_IPV6 -D CMSG_TYPE_RECVERR=IPV6_RECVERR"
declare -A variant=(
	[ipv4]="--ip_version=ipv4 $four -D CMSG_LEVEL_IP=SOL_IP -D CMSG_TYPE_RECVERR=IP_RECVERR"
	[ipv4-mapped-ipv6]="--ip_version=ipv4-mapped-ipv6 $four $in_six"
	[ipv6]="--ip_version=ipv6 --mtu=1520 --local_ip=fd3d:0a0b:17d6::1 --gateway_ip=fd3d:0a0b:17d6:8888::1
--remote_ip=fd3d:fa7b:d17d::1 -D TFO_COOKIE=c1d1e9742a47a9bc $in_six"
)

# drill LIBRARY SCRIPT VARIANT: in the script's directory; the library (or "") is not for unshare and sh
drill() {
	local options
	read -r -d '' -a options <<<"${variant[$3]}"
	(cd "$(dirname "$2")" && timeout 60 unshare -n sh -c \
		'ip link set lo up && preload=$1 && shift && exec env ${preload:+LD_PRELOAD="$preload"} "$@"' sh "$1" \
		"$net/packetdrill/packetdrill" --tolerance_usecs=30000 "${options[@]}" "$2") >"$scratch/drill" 2>&1
}

# A name that ends so says for which addresses the script is.
is_for() {
	case $1:$2 in
	*v6.pkt:ipv4*) false ;;
	*v4.pkt:ipv6) false ;;
	esac
}

compare() {
	local script=$1 addresses=$2 name=${1#"$net/tcp/"}_$2
	total=$((total + 1))
	if ! drill "" "$script" "$addresses" && ! drill "" "$script" "$addresses"; then
		bare_failures=$((bare_failures + 1))
		skip "packetdrill_$name" "fails bare: $(tail -n 1 "$scratch/drill")"
		return
	fi
	for _ in 1 2 3; do
		drill "$preload" "$script" "$addresses" && ok "packetdrill_$name" && return
	done
	not_ok "packetdrill_$name" "passes bare, fails under smcu"
	tail -n 5 "$scratch/drill"
}

daemon_start
total=0 bare_failures=0
for script in "$net"/tcp/*/*.pkt; do
	[ -z "${PACKETDRILL_ONLY:-}" ] || [[ " $PACKETDRILL_ONLY " == *" ${script#"$net/tcp/"} "* ]] || continue
	for addresses in ipv4 ipv4-mapped-ipv6 ipv6; do
		! is_for "$script" "$addresses" || compare "$script" "$addresses"
	done
done
echo "$total runs, $bare_failures fail bare"
[ $total -gt $bare_failures ] || not_ok packetdrill "no script passes bare"
finish
