# Makes a studio's machine inside new mount and PID namespaces, says its process id, and stays as its process 1.
# shellcheck shell=sh
# Every mount lives in that namespace alone, and every process in it dies with process 1: when the pipe on its standard
# input closes, whatever the reason, nothing is left.
set -eu

read -r host_pid _ < /proc/self/stat

mount -t tmpfs -o mode=755 scratch "$SCRATCH"
mkdir "$SCRATCH/upper" "$SCRATCH/work" "$SCRATCH/root"
root=$SCRATCH/root
mount -t overlay studio -o "lowerdir=/,upperdir=$SCRATCH/upper,workdir=$SCRATCH/work" "$root"

bind() {
    mkdir -p "$root$2"
    mount --rbind "$1" "$root$2"
}

# Its own mount has a base Python that lies on another file system: an overlay shows one file system only.
[ -z "$PYTHON_PREFIX" ] || bind "$PYTHON_PREFIX" "$PYTHON_PREFIX"
bind "$HOME_FOLDER" "$HOME_INSIDE"
bind "$MACHINE_FOLDER" "$MACHINE_INSIDE"
bind "$UV_CACHE" "$UV_CACHE_INSIDE"
mkdir -p "$root$ENVIRONMENT_INSIDE"
mount -t overlay environment -o "lowerdir=$TEMPLATE,upperdir=$ENVIRONMENT/upper,workdir=$ENVIRONMENT/work" "$root$ENVIRONMENT_INSIDE"

mount -t proc proc "$root/proc"
bind /dev /dev
bind /sys /sys
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
# The other studios are not to be seen, nor the host's temporary files.
[ ! -d "$root$CLOUD" ] || mount -t tmpfs -o mode=000 hidden "$root$CLOUD"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
# In a container these are mounts of their own, which the overlay does not show.
for file in /etc/resolv.conf /etc/hosts; do
    [ ! -f "$file" ] || [ ! -f "$root$file" ] || mount --bind "$file" "$root$file"
done
rm -f "$root/usr/bin/nvidia-smi"

cd "$root"
mkdir .host
pivot_root . .host
umount -l /.host
rmdir /.host

echo "$host_pid"
exec "$PYTHON" -I -S -c 'import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.close(1)
os.read(0, 1)'
