"""The `nvidia-smi` of a GPU machine, as far as anybody asks it: a list, and queries, once or in a loop.

Options, fields and the form of the answers are those of the real one (`nvidia-smi --help`, `--help-query-gpu`).
"""

from __future__ import annotations

import shlex

_MEBIBYTES = {
    "T4": 15360,
    "L4": 23034,
    "A10G": 23028,
    "L40S": 46068,
    "RTX PRO": 97887,
    "A100": 81920,
    "H100": 81559,
    "H200": 143771,
    "B200": 183359,
}
"""Memory that the real one tells of each kind of GPU."""


def nvidia_smi(gpu: str, count: int, use: str) -> str:
    """The program, a shell script.

    Args:
        gpu: kind of GPU.
        count: number of GPUs.
        use: path of a file with what it says of each GPU's use, see `Knobs.gpu_use`.
    """
    return _SCRIPT.format(
        name=shlex.quote(f"NVIDIA {gpu}"), count=count, total=_MEBIBYTES.get(gpu, 16384), use=shlex.quote(use)
    )


_SCRIPT = """\
#!/bin/sh
name={name} count={count} total={total} use={use}
list= query= format= pause=
while [ $# -gt 0 ]; do
    case "$1" in
    -L|--list-gpus) list=yes ;;
    --query-gpu=*) query=${{1#*=}} ;;
    --format=*) format=,${{1#*=}}, ;;
    -l|-lms) pause=$2 unit=$1; shift ;;
    --loop=*) pause=${{1#*=}} unit=-l ;;
    --loop-ms=*) pause=${{1#*=}} unit=-lms ;;
    *) echo "ERROR: Option $1 is not recognized. Please run 'nvidia-smi -h'." >&2; exit 2 ;;
    esac
    shift
done
[ -z "$pause" ] || [ "$unit" = -l ] || pause=$((pause / 1000)).$(printf %03d $((pause % 1000)))

field() {{
    case "$1" in
    index) value=$index ;;
    name|gpu_name) value=$name ;;
    uuid|gpu_uuid) value=$(printf 'GPU-00000000-0000-0000-0000-%012d' "$index") ;;
    driver_version) value=550.00 ;;
    count) value=$count ;;
    utilization.gpu) value=${{told%%,*}} unit='%' ;;
    memory.used) value=${{told#*, }} unit=MiB ;;
    memory.total) value=$total unit=MiB ;;
    *) echo "Field \"$1\" is not a valid field to query." >&2; exit 2 ;;
    esac
}}

row() {{
    line=
    for one in $(echo "$query" | tr , ' '); do
        unit=
        field "$one"
        if [ "$header" = yes ]; then value="$one${{unit:+ [$unit]}}"
        else case "$format,$value" in *,nounits,*|*'['*) ;; *) value="$value${{unit:+ $unit}}" ;; esac
        fi
        line="${{line:+$line, }}$value"
    done
    echo "$line"
}}

ask() {{
    index=0 told='0, 1'
    while [ $index -lt $count ]; do
        said=$(sed -n $((index + 1))p "$use" 2>/dev/null)
        told=${{said:-$told}}
        case "$told" in !*) echo "${{told#!}}"; exit 9 ;; esac
        row
        index=$((index + 1))
    done
}}

if [ -n "$query" ]; then
    header=yes index=0 told='0, 1'
    case "$format" in *,noheader,*) ;; *) row ;; esac
    header=no
    while ask && [ -n "$pause" ]; do sleep "$pause"; done
    exit 0
fi
[ -n "$list" ] || echo '| NVIDIA-SMI 550.00       Driver Version: 550.00       |'
index=0
while [ $index -lt $count ]; do
    if [ -n "$list" ]; then printf 'GPU %d: %s (UUID: GPU-00000000-0000-0000-0000-%012d)\\n' $index "$name" $index
    else printf '|   %d  %-36s |\\n' $index "$name"
    fi
    index=$((index + 1))
done
"""
