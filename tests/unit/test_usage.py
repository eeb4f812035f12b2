"""What is sampled of a machine, whatever kernel and `nvidia-smi` say, and when idle GPUs are enough."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lightning_zenml.action.report.usage import words
from lightning_zenml.action.report.usage.words import usage_of
from lightning_zenml.launch.payload.usage.gpus import Gpu, Gpus
from lightning_zenml.launch.payload.usage.idle import IdleGpus, Idleness, in_words
from lightning_zenml.launch.payload.usage.machine import Machine
from lightning_zenml.launch.payload.usage.records import GpuUsage, Usage, merged, used
from lightning_zenml.launch.payload.usage.sampler import Sampler, interval
from lightning_zenml.zenml_api.models import Step
from localcloud.lightning.computer.nvidia_smi import nvidia_smi

MIB = 1024 * 1024


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def proc(folder: Path, groups: str) -> Path:
    write(
        folder,
        {
            "proc/meminfo": "MemTotal: 16000 kB\nMemFree: 1 kB\nMemAvailable: 10000 kB\nBuffers: 5 kB\n",
            "proc/stat": "cpu  100 0 100 1000 50 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n",
            "proc/self/cgroup": groups,
        },
    )
    return folder / "proc"


def machine(folder: Path, groups: str) -> Machine:
    ticks = itertools.count(step=10.0)
    return Machine(proc(folder, groups), folder / "cgroup", clock=lambda: next(ticks))


def test_a_machine_without_limits_is_all_of_it(tmp_path: Path) -> None:
    found = machine(tmp_path, "0::/\n")
    tick = os.sysconf("SC_CLK_TCK")
    write(tmp_path, {"proc/stat": f"cpu  {100 + 5 * tick} 0 100 1000 50 0 0 0 0 0\n"})
    cpu, memory = found.look()
    assert (found.memory, memory) == (16000 * 1024, 6000 * 1024)
    assert cpu == pytest.approx(100 * 5 / 10 / (os.cpu_count() or 1))


def test_a_container_of_version_2_is_as_large_as_its_group(tmp_path: Path) -> None:
    """The limit may be that of a group further out, and the path that of the host."""
    write(
        tmp_path / "cgroup",
        {
            "memory.max": "8192000",
            "memory.current": "5000000",
            "memory.stat": "anon 1\ninactive_file 1000000\n",
            "cpu.max": "50000 100000",
            "cpu.stat": "usage_usec 1000000\nuser_usec 1\n",
            "inner/memory.max": "max",
            "inner/cpu.max": "max 100000",
        },
    )
    for groups in ("0::/inner\n", "0::/kubepods/pod1/of-the-host\n"):
        found = machine(tmp_path, groups)
        write(tmp_path / "cgroup", {"cpu.stat": "usage_usec 3000000\nuser_usec 1\n"})
        assert (found.cpus, found.memory) == (0.5, 8192000)
        assert found.look() == (pytest.approx(100 * 2 / 10 / 0.5), 4000000)
        write(tmp_path / "cgroup", {"cpu.stat": "usage_usec 1000000\nuser_usec 1\n"})


def test_a_container_of_version_1_is_as_large_as_its_groups(tmp_path: Path) -> None:
    write(
        tmp_path / "cgroup",
        {
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/here/memory.limit_in_bytes": "8192000",
            "memory/here/memory.usage_in_bytes": "5000000",
            "memory/here/memory.stat": "inactive_file 7\ntotal_inactive_file 1000000\n",
            "cpu/here/cpu.cfs_quota_us": "50000",
            "cpu/here/cpu.cfs_period_us": "100000",
            "cpuacct/here/cpuacct.usage": "1000000000",
        },
    )
    found = machine(tmp_path, "7:memory:/here\n3:cpu,cpuacct:/here\n1:name=systemd:/\n0::/\n")
    write(tmp_path / "cgroup", {"cpuacct/here/cpuacct.usage": "3500000000"})
    assert (found.cpus, found.memory) == (0.5, 8192000)
    assert found.look() == (pytest.approx(100 * 2.5 / 10 / 0.5), 4000000)


def test_groups_without_limits_or_files_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "cgroup" / "memory").mkdir(parents=True)
    write(tmp_path / "cgroup", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"})
    assert machine(tmp_path, "7:memory:/gone\n3:cpu,cpuacct:/\nodd\n").memory == 16000 * 1024


def usage(since: float, until: float, **changes: float | tuple[GpuUsage, ...]) -> Usage:
    given = {"samples": 1, "cpus": 4.0, "cpu": 50.0, "memory": 16e9, "memory_peak": 1e9}
    return Usage(since=since, until=until, **{**given, **changes})  # type: ignore[arg-type]


def gpu_usage(index: int, busy: float, peak: float, samples: int = 1) -> GpuUsage:
    return GpuUsage(index=index, name="L4", samples=samples, busy=busy, memory=24e9, memory_peak=peak)


def test_stretches_of_time_are_put_together_by_their_samples() -> None:
    several = [
        usage(0, 5, cpu=10.0, gpus=(gpu_usage(0, 0, 1e9), gpu_usage(1, 50, 2e9))),
        # Of the second GPU, no answer made sense.
        usage(5, 20, cpu=40.0, samples=3, memory_peak=3e9, gpus=(gpu_usage(0, 100, 5e9, samples=3),)),
    ]
    together = merged(several)
    assert together is not None
    assert (together.seconds, together.samples, together.cpu, together.memory_peak) == (20, 4, 32.5, 3e9)
    assert [(gpu.samples, gpu.busy, gpu.memory_peak) for gpu in together.gpus] == [(4, 75.0, 5e9), (1, 50.0, 2e9)]
    assert Usage.from_json(together.to_json()) == together
    assert merged([]) is None


def answers(utilization: Sequence[float | None]) -> list[Gpu]:
    return [Gpu(index, "L4", busy, 1.0, 24e9) for index, busy in enumerate(utilization)]


def judged(looks: Sequence[Sequence[float | None]], limit: float = 60.0, pause: float = 5.0) -> list[Idleness | None]:
    idle = IdleGpus(limit, 15.0)
    return [idle.look(answers(look), number * pause) for number, look in enumerate(looks)]


def test_idle_gpus_are_warned_of_at_half_time_and_then_ended() -> None:
    said = judged([(0.0, 0.0)] * 20)
    assert (said.index(Idleness.WARN), said.index(Idleness.END)) == (6, 12)
    assert said.count(Idleness.WARN) == 1


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(0.0,)] * 11 + [(3.0,)] + [(0.0,)] * 11, id="used now and then"),
        pytest.param([(0.0, 97.0)] * 40, id="one of two is used"),
        pytest.param([(None,)] * 40, id="it does not say"),
        pytest.param([(0.0, None)] * 40, id="one of two does not say"),
        pytest.param([()] * 40, id="a machine without"),
        pytest.param([(0.0,), ()] * 20, id="every other answer is missing"),
    ],
)
def test_what_is_used_or_says_nothing_is_never_ended(looks: Sequence[Sequence[float | None]]) -> None:
    assert Idleness.END not in judged(looks)


def test_an_odd_answer_counts_for_nothing() -> None:
    """Neither as work, after which the time would begin anew, nor as idleness."""
    said = judged([(0.0,)] * 8 + [(None,)] + [(0.0,)] * 20)
    assert said.index(Idleness.END) == 8 + 1 + 6 - 1
    # A machine that slept was not looked at meanwhile.
    idle = IdleGpus(60.0, 15.0)
    assert [idle.look(answers([0.0]), at) for at in (0, 5, 10, 15, 3600, 3605)] == [None] * 6


def test_few_looks_end_nothing_however_short_the_time() -> None:
    assert judged([(0.0,)] * 6, limit=1.0)[:4] == [None, Idleness.WARN, None, None]


def test_what_happens_is_told_in_words() -> None:
    warning, end = (in_words(idleness, "L4", 1200) for idleness in (Idleness.WARN, Idleness.END))
    assert "no GPU on L4 has done anything for 10 minutes" in warning
    assert "in another 10" in warning
    assert end.startswith("Stopped: no GPU on L4 has done anything for 20 minutes (`stop-idle-gpu`).")


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts an `nvidia-smi` on the path that says this of each GPU's use; the file can be written anew."""

    def put(*lines: str, count: int = 1) -> Path:
        use, program = tmp_path / "gpu-use", tmp_path / "bin" / "nvidia-smi"
        use.write_text("\n".join(lines))
        program.parent.mkdir()
        program.write_text(nvidia_smi("L4", count, str(use)))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return use

    return put


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_gpus_are_asked_by_one_process(says: Callable[..., Path], tmp_path: Path) -> None:
    use = says("31, 6100", "[N/A], [N/A]", count=2)
    gpus = Gpus(0.1)
    first = Gpu(0, "NVIDIA L4", 31.0, 6100.0 * MIB, 23034.0 * MIB)
    eventually(lambda: gpus.look() == (first, Gpu(1, "NVIDIA L4", None, None, 23034.0 * MIB)))
    use.write_text("0, 1")
    eventually(lambda: [gpu.busy for gpu in gpus.look()] == [0.0, 0.0])
    use.write_text("ERR!, 1")
    eventually(lambda: [gpu.busy for gpu in gpus.look()] == [None, None])
    # It falls silent, and it is for nobody to say that they are idle.
    use.write_text("0, 1")
    eventually(lambda: [gpu.busy for gpu in gpus.look()] == [0.0, 0.0])
    gpus.end()
    eventually(lambda: [gpu.busy for gpu in gpus.look()] == [None, None])


@pytest.mark.parametrize("said", ["!NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", ""])
def test_a_machine_without_gpus_has_none(said: str, says: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    says(said)
    if not said:
        monkeypatch.setenv("PATH", "/nowhere")
    gpus = Gpus(0.1)
    eventually(lambda: not any(one.name == "nvidia-smi" for one in threading.enumerate()) or said)
    assert gpus.look() == ()
    gpus.end()


def test_a_step_finds_its_part_of_what_is_kept(says: Callable[..., Path], tmp_path: Path) -> None:
    says("31, 6100", "0, 1", count=2)
    path = tmp_path / "usage.jsonl"
    sampler = Sampler(path, 0.05)
    sampler.start(lambda idleness, words: None)
    eventually(lambda: path.exists() and (found := used(path, since=0)) and len(found.gpus) == 2)
    began = time.time()
    eventually(lambda: (found := used(path, since=began)) and found.samples >= 3)
    sampler.end()
    found, ever = used(path, since=began), used(path, since=0)
    assert found
    assert ever
    assert ever.samples > found.samples
    assert [(gpu.busy, gpu.memory_peak) for gpu in found.gpus] == [(31.0, 6100 * MIB), (0.0, MIB)]
    assert 0 < found.memory_peak < found.memory
    assert used(path, since=time.time() + 10) is None


def test_a_sampler_counts_idleness_only_once_it_is_told_to(says: Callable[..., Path], tmp_path: Path) -> None:
    said: list[tuple[Idleness, str]] = []
    says("0, 1")
    path = tmp_path / "usage.jsonl"
    sampler = Sampler(path, 0.05, machine="L4", stop_idle_gpu=0.4)
    sampler.start(lambda idleness, words: said.append((idleness, words)))
    eventually(lambda: (found := used(path, since=0)) and found.samples > 20)
    assert said == []
    sampler.count_idleness()
    eventually(lambda: sampler.found_idle)
    sampler.end()
    assert [idleness for idleness, _ in said[:2]] == [Idleness.WARN, Idleness.END]


def test_a_full_disk_or_a_zero_takes_no_samples(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path / "nowhere" / "usage.jsonl", 0.02)
    sampler.start(lambda idleness, words: None)
    sampler.end()
    none = Sampler(tmp_path / "usage.jsonl", interval({"LIGHTNING_ZENML_USAGE_SECONDS": "0"}))
    none.start(lambda idleness, words: None)
    none.end()
    assert not list(tmp_path.iterdir())
    assert [interval({"LIGHTNING_ZENML_USAGE_SECONDS": given}) for given in ("", "2.5", "often")] == [5.0, 2.5, 5.0]


def test_the_stand_in_answers_in_the_form_of_the_real_one(says: Callable[..., Path]) -> None:
    says("31, 6100", "[N/A], 7", count=2)

    def ask(*arguments: str) -> str:
        return subprocess.run(["nvidia-smi", *arguments], check=True, capture_output=True, text=True).stdout

    assert ask("--query-gpu=index,name,utilization.gpu,memory.used,memory.total", "--format=csv") == (
        "index, name, utilization.gpu [%], memory.used [MiB], memory.total [MiB]\n"
        "0, NVIDIA L4, 31 %, 6100 MiB, 23034 MiB\n1, NVIDIA L4, [N/A], 7 MiB, 23034 MiB\n"
    )
    assert re.fullmatch(r"(GPU \d: NVIDIA L4 \(UUID: GPU-[0-9-]+\)\n){2}", ask("-L"))
    refused = subprocess.run(["nvidia-smi", "--query-gpu=moon", "--format=csv"], check=False, capture_output=True)
    assert refused.returncode == 2


def step_with(metadata: object, status: str = "completed") -> Step:
    return Step(name="train", status=status, metadata={"lightning_usage": metadata})


def test_what_steps_have_used_is_told_in_words() -> None:
    several = tuple(gpu_usage(index, busy, 6.1e9 * (index + 1)) for index, busy in enumerate((31.2, 0.0, 0.2, 0.4)))
    one, two, four = (usage_of(step_with(usage(0, 60, gpus=several[:count]).to_json())) for count in (1, 2, 4))
    assert one
    assert two
    assert four
    assert (words.cores(one), words.memory(one)) == ("50 % of 4", "1.0 of 16 GB")
    assert (words.gpus(one), words.gpu_memory(one)) == ("31 %", "6.1 of 24 GB")
    assert (words.gpus(two), words.gpu_memory(two)) == ("31 %, 0 %", "12.2 of 24 GB")
    assert words.gpus(four) == "8 % of 4"
    assert words.percent(0.2) == "< 1 %"
    assert (words.gpus(usage(0, 60)), words.gpu_memory(usage(0, 60))) == ("", "")


@pytest.mark.parametrize(
    "metadata",
    [
        7,
        {},
        usage(0, 60).to_json() | {"version": 99},
        usage(0, 60).to_json() | {"cpu": "much"},
        usage(0, 60).to_json() | {"samples": 0},
        usage(0, 60).to_json() | {"gpus": [{"name": "L4"}]},
        usage(0, 60).to_json() | {"gpus": 1},
    ],
)
def test_what_somebody_else_has_logged_under_that_name_is_left_alone(metadata: object) -> None:
    assert usage_of(step_with(metadata)) is None
    assert usage_of(step_with(usage(0, 60).to_json(), status="cached")) is None
