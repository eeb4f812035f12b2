"""What a studio's machine has besides the host's programs: its shell set-up, some programs, and its variables."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from .nvidia_smi import nvidia_smi

SETTING_UP = (
    "Error: We are still setting things up for you, please try again after the progress bar at the top of the Studio "
    "disappears."
)
"""What `python`, `pip` and `uv` say until set-up is done; the platform's words."""

# The host's way to the package index; nothing else of its environment is seen in a studio.
PASSED_ON = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST", "PIP_CERT", "PIP_NO_INDEX"),
    *("PIP_DEFAULT_TIMEOUT", "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_CONFIG_FILE", "PIP_CONSTRAINT"),
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INSECURE_HOST"),
    *("UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_HTTP_TIMEOUT", "UV_OFFLINE", "UV_NO_INDEX", "UV_CONFIG_FILE"),
)
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class MachineFolder:
    """A folder of the host that a machine sees as its `/opt/lightning`.

    Args:
        host: where it lies on the host.
        inside: its path in the machine.
        environment: path, in the machine, of the Python environment.
        gpus: number of GPUs.
        gpu: their name.
    """

    def __init__(self, host: Path, inside: str, environment: str, gpus: int = 0, gpu: str = "") -> None:
        self.host = host
        self.inside = inside
        self.environment = environment
        (host / "bin").mkdir(parents=True)
        (host / "rc").write_text(
            _RC.format(machine=shlex.quote(inside), environment=shlex.quote(environment), text=SETTING_UP)
        )
        self._program("uv", _UV.format(environment=shlex.quote(environment)))
        self._program("conda", _CONDA)
        self._program("sudo", _SUDO)
        if gpus:
            self._program("nvidia-smi", nvidia_smi(gpu, gpus, f"{inside}/gpu-use"))

    def use_gpus(self, use: Sequence[str]) -> None:
        """From now on `nvidia-smi` says this of each GPU in turn, see `Knobs.gpu_use`."""
        (self.host / "gpu-use").write_text("".join(f"{line}\n" for line in use))

    def finish_setup(self) -> None:
        """From now on `python`, `pip` and `uv` work."""
        (self.host / "ready").touch()

    def variables(self, *, environment_on_path: bool) -> dict[str, str]:
        """The variables of every session, of the machine's own making."""
        path = [f"{self.inside}/bin", _SYSTEM_PATH]
        if environment_on_path:
            path.insert(1, f"{self.environment}/bin")
        return {
            "PATH": ":".join(path),
            "LANG": "C.UTF-8",
            "SHELL": "/bin/bash",
            "USER": "zeus",
            "LOGNAME": "zeus",
            "TERM": "xterm-256color",
            "BASH_ENV": f"{self.inside}/rc",
            "UV_LIGHTNING_VIRTUALENV_ROOT": "/home/zeus/.lightning/virtualenvs",
            "UV_LINK_MODE": "copy",
        }

    def _program(self, name: str, content: str) -> None:
        path = self.host / "bin" / name
        path.write_text(content)
        path.chmod(0o755)


def passed_on(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The host's variables that a studio needs to reach the package index."""
    return {name: environ[name] for name in PASSED_ON if name in environ}


# The names are functions of the session, as they are aliases on the platform: scripts and programs that it starts do
# not get them. `BASH_ENV` is how the session comes to read this, and is not passed on either.
_RC = """\
unset BASH_ENV
cd "$HOME" || exit 1
load_conda_and_run() {{
    if [ ! -e {machine}/ready ]; then
        echo "{text}"
        return 1
    fi
    local program={environment}/bin/$1
    [ "$1" != uv ] || program={machine}/bin/uv
    shift
    VIRTUAL_ENV={environment} "$program" "$@"
}}
python() {{ load_conda_and_run python "$@"; }}
python3() {{ load_conda_and_run python "$@"; }}
pip() {{ load_conda_and_run pip "$@"; }}
uv() {{ load_conda_and_run uv "$@"; }}
[ ! -f "$HOME/.lightning_studio/.studiorc" ] || . "$HOME/.lightning_studio/.studiorc"
"""

_UV = """\
#!/bin/sh
# Without `env -u UV_LIGHTNING_VIRTUALENV_ROOT` the platform's `uv run` fails: the folder does not exist.
root=${{UV_LIGHTNING_VIRTUALENV_ROOT:-}}
if [ "${{1:-}}" = run ] && [ -n "$root" ] && [ ! -d "$root" ]; then
    echo "error: No such file or directory (os error 2): $root" >&2
    exit 2
fi
exec {environment}/bin/uv "$@"
"""

_CONDA = """\
#!/bin/sh
case "${1:-}" in
create|env)
    echo "Error: a Studio has one environment, creating others is not allowed. Use a new Studio instead." >&2
    exit 1 ;;
*)
    echo "conda ${1:-}: not available" >&2
    exit 1 ;;
esac
"""

_SUDO = """\
#!/bin/sh
while [ $# -gt 0 ]; do
    case "$1" in
    -u|-g) shift 2 ;;
    -*) shift ;;
    *) break ;;
    esac
done
exec "$@"
"""
