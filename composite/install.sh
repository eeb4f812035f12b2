#!/usr/bin/env bash
# Makes the Action's environment from the locks, and the file in which main leaves for post what it holds. Bash 3.2 will do.
set -euo pipefail

refuse() {
  echo "::error title=The Action can't be installed::$1 https://github.com/org/lightning-zenml-action/blob/main/docs/troubleshooting.md#lz-2007"
  exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case "$(uname -s)" in
  Linux | Darwin) ;;
  *) refuse "The Action needs a runner on Linux or macOS, not $(uname -s)." ;;
esac

# The runner empties its folder for temporary files before and after each job; two versions may share a job.
folder="$RUNNER_TEMP/lightning-zenml"
environment="$folder/$(printf %s "$root" | cksum | cut -d ' ' -f 1)"
mkdir -p "$folder"
# What the repository configures for uv is not meant for us.
cd "$folder"

if ! [ -e "$environment/installed" ]; then
  echo "::group::Install the Action"
  if uv=$(command -v uv); then
    echo "uv at $uv"
  else
    bootstrap="$folder/bootstrap"
    python3 -m venv --clear "$bootstrap" || refuse "Neither uv nor a Python 3 that can make virtual environments is there. Install one of them on the runner."
    "$bootstrap/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
      --requirement "$root/requirements/bootstrap.txt" || refuse "pip can't install uv, see the log."
    uv="$bootstrap/bin/uv"
  fi
  python="$environment/bin/python"
  # The versions that the locks are for.
  "$uv" venv --quiet --clear --python '>=3.11,<3.15' "$environment" || refuse "uv finds no Python from 3.11 to 3.14 and can't download one, see the log."
  "$uv" pip sync --quiet --python "$python" --require-hashes "$root/requirements/runtime.txt" "$root/requirements/build.txt" ||
    refuse "uv can't install what the locks name, see the log."
  "$uv" pip install --quiet --python "$python" --no-deps --no-build-isolation "$root" ||
    refuse "uv can't build the Action, see the log."
  touch "$environment/installed"
  echo "::endgroup::"
fi

# Of mode 0600.
state=$(mktemp "$folder/state.XXXXXX")
printf 'python=%s\nstate=%s\n' "$environment/bin/python" "$state" >>"$GITHUB_OUTPUT"
