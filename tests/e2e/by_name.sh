#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs that ask for SMC by its name, AF_SMC or IPPROTO_SMC, run under smcu on a kernel that has none:
# with each other, with programs that ask for TCP, and with those that are not under smcu; they are told
# of their sockets what Linux's SMC tells.
. "$(dirname "$0")/lib.sh"

# domain, protocol and address of each name
declare -A answers=([smc]="43 0 2" [smc6]="43 1 10" [ipproto]="2 256 2" [ipproto6]="10 256 10" [tcp]="2 6 2" [tcp6]="10 6 10")
described() { # described WHAT NAME
	read -r domain protocol address <<<"${answers[$2]}"
	echo "$1: domain $domain type 1 protocol $protocol address $address"
}
limits() {
	case $1 in tcp*) printf 'limit: ENOPROTOOPT\nother: ENOPROTOOPT\n' ;; *) printf 'limit 1\nother: EOPNOTSUPP\n' ;; esac
}
has_port() { grep -q '^port' "$scratch/server.log"; }

# pair SERVER CLIENT HOW_SERVER HOW_CLIENT: 100 rounds between the two
pair() {
	local got wanted server
	start server ${3:+"$3"} "$programs/by_name" serve "$1"
	server=$pid
	wait_until 10 has_port
	got=$(${4:+"$4"} timeout 60 "$programs/by_name" connect "$2" "$(sed -n 's/^port //p' "$scratch/server.log")" 2>&1)
	wanted=$(limits "$2"; described connected "$2"; echo "rounds 100")
	wait "$server"
	got+=$'\n'$(sed 1d "$scratch/server.log")
	wanted+=$'\n'$(described listener "$1"; described accepted "$1"; limits "$1"; echo "rounds 100")
	verdict "$1_serves_$2${3:-_plain}${4:-_plain}" "$got" "$wanted"
}

daemon_start
before=$(statistic moved) pairs=0
for names in "smc smc" "smc tcp" "tcp smc" "smc6 smc6" "smc6 tcp6" "ipproto ipproto" "ipproto smc" \
	"ipproto6 ipproto6" "tcp6 ipproto6"; do
	# shellcheck disable=SC2086 # two words
	pair $names smcu_run smcu_run
	pairs=$((pairs + 1))
done
really_moved connections_by_name_really_moved $((2 * pairs)) "$before"
pair tcp smc "" smcu_run
pair smc tcp smcu_run ""
verdict what_has_no_such_name_is_refused_by_the_kernel "$(smcu_run "$programs/by_name" refuse)" \
	"$("$programs/by_name" refuse)"
finish
