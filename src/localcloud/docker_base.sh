#!/usr/bin/env bash
# docker_base.sh OUT.tar: a stand-in for the root filesystem of python:3.12-slim, where no registry can be reached.
#
# A minimal Debian with a CPython 3.12 of this machine (pyenv's relocate) in /usr/local, as the official image has it; where there
# is none, with Debian's own Python. It proves the project's own layers, not the official base.
set -euo pipefail
out=$1
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
inside() { env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@"; }
bootstrap() { # suite packages
  mmdebstrap --quiet --variant=minbase --include="ca-certificates,netbase,tzdata,$2" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' "$1" "$root"
  rm -f "$root/etc/resolv.conf"
}

shopt -s nullglob
pythons=("${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12.*)
if ((${#pythons[@]})); then
  libraries=libssl3,libffi8,libsqlite3-0,libreadline8,libncursesw6,zlib1g,libbz2-1.0,liblzma5,libuuid1,libexpat1,libnsl2,libtirpc3
  bootstrap bookworm "$libraries"
  tar -C "${pythons[-1]}" -cf - --exclude=__pycache__ --exclude='lib/python3.12/test' --exclude='lib/python3.12/config-*' \
    --exclude='lib/python3.12/site-packages' --exclude='*_tkinter*' --exclude=tkinter --exclude=idlelib --exclude=turtledemo \
    --exclude='*.a' bin/python3.12 bin/python3 bin/python lib include/python3.12 |
    tar -C "$root/usr/local" --no-same-owner -xf -
  mkdir -p "$root/usr/local/lib/python3.12/site-packages"
  echo /usr/local/lib >"$root/etc/ld.so.conf.d/local.conf"
  inside ldconfig
  inside python3 -m ensurepip --default-pip >/dev/null 2>&1
else
  bootstrap trixie python3,python3-pip,python3-venv
  # So that pip installs, and beside Debian's own packages rather than over them.
  rm -rf "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
  find "$root/usr/lib/python3/dist-packages" -maxdepth 1 -name '*-info' ! -name 'pip-*' -exec rm -rf {} +
  ln -s /usr/bin/python3 "$root/usr/local/bin/python"
fi
inside python -c 'import bz2, ctypes, hashlib, lzma, sqlite3, ssl, uuid, venv, zlib'
inside pip --version
find "$root" -name __pycache__ -prune -exec rm -rf {} +
tar -C "$root" --exclude='./dev/*' -cf "$out" .
