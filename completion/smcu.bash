# SPDX-License-Identifier: MIT
# bash completion for smcu(1)

_smcu()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} i
	COMPREPLY=()

	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "run ss stats linkgroup link device decode version help" -- "$current"))
		return
	fi
	case ${COMP_WORDS[1]} in
	run)
		# From the first word on that is no option, this is another program's command line.
		for ((i = 2; i < COMP_CWORD; i++)); do
			case ${COMP_WORDS[i]} in
			--socket | --move-after) i=$((i + 1)) ;;
			--) i=$((i + 1)) && break ;;
			-*) ;;
			*) break ;;
			esac
		done
		if [ "$i" -lt "$COMP_CWORD" ] && declare -F _command_offset >/dev/null; then
			_command_offset "$i"
		elif [ "$previous" = --socket ]; then
			compopt -o filenames
			COMPREPLY=($(compgen -f -- "$current"))
		elif [ "$previous" = --move-after ]; then
			COMPREPLY=($(compgen -W "0 16k 64k 1M" -- "$current"))
		elif [[ $current == -* ]]; then
			COMPREPLY=($(compgen -W "--require --verbose --move-after --socket --" -- "$current"))
		else
			COMPREPLY=($(compgen -c -- "$current"))
		fi
		;;
	ss | stats | linkgroup | link | device)
		if [ "$previous" = --socket ]; then
			compopt -o filenames
			COMPREPLY=($(compgen -f -- "$current"))
		elif [ "${COMP_WORDS[1]}" = stats ]; then
			COMPREPLY=($(compgen -W "--json --socket" -- "$current"))
		else
			COMPREPLY=($(compgen -W "--json --details --socket" -- "$current"))
		fi
		;;
	decode)
		if [[ $current == -* ]]; then
			COMPREPLY=($(compgen -W "--json --verify" -- "$current"))
		else
			compopt -o filenames
			COMPREPLY=($(compgen -f -- "$current"))
		fi
		;;
	esac
}
complete -F _smcu smcu
