"""Where everything lies on a studio: the one source of these names.

What is below `HOME`:

    archives/<sha256>          packed repositories: which parts each is made of
    parts/<sha256>             tars of some of a repository's files
    wheels/<digest>/<wheel>    our own distribution
    launches/<id>/             one folder per launch
    jobs/<token>               exit codes of Lightning jobs
    environments               what is installed
    lease.json, lease.lock     which launch has the studio
"""

from __future__ import annotations

HOME = ".lightning_zenml"
"""Our folder in the home of a studio. The client uploads into it, the payload does the rest."""
ARCHIVES = "archives"
"""Folder of packed repositories by their sha256, below `HOME`: the digests of its parts, a line each. The client
uploads them, `start` looks whether all parts are there, the supervisor unpacks them."""
PARTS = "parts"
"""Folder of tars by their sha256, below `HOME`, which several archives may share. The client uploads those that the
studio lacks; `start` removes those that no archive needs any more."""
WHEELS = "wheels"
"""Folder of our own wheels, one in each folder in it, below `HOME`. The client uploads, the payload runs from one."""
LAUNCHES = "launches"
"""Folder of the launches' own folders, below `HOME`."""
JOBS = "jobs"
"""Folder of the exit codes of Lightning jobs by their tokens, below `HOME`. A job writes its own, and names it in its
command: that is how client and guardian find the jobs of a launch."""
ENVIRONMENTS = "environments"
"""What was installed that is still whole: digests of what clients have asked for, a line each, below `HOME`. The
supervisor writes it; a client that chooses one of several studios reads it, while they are stopped."""
LEASE = "lease.json"
"""Which launch has the studio, below `HOME`. The payload writes it, the client reads it before it has a payload."""
LEASE_LOCK = "lease.lock"
"""Locked (`flock`) by whoever reads or writes the lease, below `HOME`."""

INSTALLED = ".lightning_zenml.json"
"""Digest of what was installed last. It lies in the studio's Python environment itself: whatever resets that resets it
too. The supervisor and our orchestrator write and read it, see `install`."""

INSTRUCTIONS = "env"
"""What a launch is to do, with its environment; mode 0600. The client writes it, the guardian reads and removes it."""
BUNDLE = "bundle.tar"
"""What the client uploads for a launch, instructions among it, until it is unpacked; see `launch.studio.bundle`."""
WHEEL_BUNDLE = "wheel.tar"
"""Our wheel alone, which the client uploads first where it needs a lease before the rest."""
PARTS_BUNDLE = "parts.tar"
"""Parts alone, which the client uploads when `start` has found that they are not there or not whole."""
UNPACKING = ".unpacking"
"""Behind the name of a bundle: the folder in which it is unpacked."""
DESCRIPTION = "launch.json"
"""What another client must know to take over a launch; no secret. The guardian writes, `Launcher.attach` reads it."""
CODE = "code"
"""The unpacked repository. The supervisor makes it; commands, controller and steps run in it."""
LOG = "log"
"""Output of installs, commands and command. The supervisor writes it, whoever follows reads it."""
PAYLOAD_LOG = "payload.log"
"""Output of guardian and supervisor themselves, for people who look for a fault."""
STATUS = "status.json"
"""How far a launch is. The supervisor or its guardian writes it, whoever follows or attaches reads it."""
RUNS = "runs.jsonl"
"""One JSON line per ZenML run of a launch. Our orchestrator writes it, whoever follows and `run_end` read it."""
JOB_RECORDS = "jobs.jsonl"
"""A JSON line for each change of a Lightning job, the first before it is asked for. Our orchestrator writes and reads
it, whoever follows reads it."""
USAGE = "usage.jsonl"
"""A JSON line for each few seconds of the machine: what was used of it. The supervisor writes it, steps read it."""
BEGUN = "begun"
"""Folder with a file for each step in the studio whose own code has begun, named like its process id. Our orchestrator
writes and reads it."""
START_LOCK = "lock"
"""A folder that exists once a launch was started, or stopped before that. The payload makes it."""
PID = "pid"
"""Process id of the supervisor. It writes it itself, `stop` and our orchestrator read it."""
IDENTITY = "identity"
"""Tells the supervisor from another process that has its id by now. It writes it itself, every verb reads it."""
GUARDIAN = "guardian"
"""Process id and identity of the supervisor's guardian. It writes it itself, `leave` reads it."""
SESSION = "session"
"""Session id of the bash that runs the commands. The supervisor writes it, its guardian reads it."""
GRACE = "grace"
"""Exists once a launch is to be stopped: seconds between SIGTERM and SIGKILL. `stop` writes it, the supervisor reads
it."""
FOLLOWER = "follower"
"""Touched by `start`, every `read` and by who attaches: somebody follows. The guardian looks at its time."""
LEFT = "left"
"""Exists once the client said that nobody follows; removed by who attaches. The guardian looks for it."""
KEPT = "kept"
"""Exists when somebody needs the code for as long as the studio exists: a schedule makes it, clearing respects it."""


def archive(sha256: str) -> str:
    """Where the archive with that digest lies, relative to `HOME`."""
    return f"{ARCHIVES}/{sha256}"


def part(sha256: str) -> str:
    """Where the part with that digest lies, relative to `HOME`."""
    return f"{PARTS}/{sha256}"


def wheel(digest: str, name: str) -> str:
    """Where the wheel with that digest and file name lies, relative to `HOME`."""
    return f"{WHEELS}/{digest}/{name}"


def launch(launch_id: str, name: str = "") -> str:
    """Where a launch's folder lies, or the file or folder of that name in it, relative to `HOME`."""
    return f"{LAUNCHES}/{launch_id}/{name}".rstrip("/")


def job_result(token: str) -> str:
    """Where the Lightning job with that token (or each whose token begins so) leaves its exit code, from the home."""
    return f"{HOME}/{JOBS}/{token}"
