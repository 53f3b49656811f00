"""The package on systems that lack what Linux has, as far as Linux can imitate them.

What Python lacks there is taken away once the packages that others wrote are imported:
they look at the system when they are.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import public_api
from hiding import run_python
from keras_deeptools._distributed_search.process import MEMBER
from keras_deeptools._files import move_when_free, write_text
from keras_deeptools.tuning._trials import watch

ROOMS = [room.__name__ for room in public_api.rooms()]

WINDOWS = """
import keras, keras_tuner, numpy, multiprocessing, os, signal, subprocess, sys, tempfile
import matplotlib.pyplot
for name in ("fcntl", "resource", "pwd", "grp", "termios", "syslog"):
    sys.modules[name] = None
for name in ("fork", "killpg", "getpgrp", "getpgid", "setsid", "setpgrp", "getuid",
             "geteuid", "uname", "sysconf", "nice", "mkfifo", "getloadavg", "chown",
             "sched_getaffinity", "register_at_fork", "wait", "WNOHANG"):
    delattr(os, name)
for name in ("SIGKILL", "SIGALRM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "alarm",
             "setitimer", "pthread_kill", "sigwait"):
    delattr(signal, name)
os.process_cpu_count = os.cpu_count  # As Python >= 3.13 has it there.
sys.platform = "win32"
"""
MACOS = """
import keras, keras_tuner, numpy, multiprocessing, os, subprocess, sys
import matplotlib.pyplot
delattr(os, "sched_getaffinity")
os.process_cpu_count = os.cpu_count
sys.platform = "darwin"
"""
SYSTEMS = pytest.mark.parametrize("system", [WINDOWS, MACOS], ids=["Windows", "macOS"])

TRAIN = """
import importlib
import numpy as np

for name in ROOMS:
    importlib.import_module(name)
from keras_deeptools import GradientMonitor, MaxNormEnforcer, OneCycleScheduler
from keras_deeptools import WeightAveraging, find_learning_rate
from keras_deeptools.transfer import cache_features, freeze
from keras_deeptools.tuning import fit_trial

x, y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")

def compiled():
    layers = [keras.layers.Dense(4, "relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("sgd", "mse")
    return model

model = compiled()
find_learning_rate(model, x, y, num_steps=10, batch_size=4, verbose=0)
monitor = GradientMonitor()
callbacks = [monitor, OneCycleScheduler(0.1), MaxNormEnforcer(2.0), WeightAveraging()]
model.fit(x, y, epochs=2, batch_size=4, callbacks=callbacks, verbose=0)
monitor.plot("gradients.png")
freeze(model.layers[0])
cache_features(model, x, y, directory="features", verbose=0)
cached = cache_features(model, x, y, directory="features", verbose=0)
assert cached.features[0].shape[0] == 8

def build(hp):
    hp.Choice("one", [1, 2])
    return compiled()

class Model(keras_tuner.HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        return fit_trial(hp, model, *args, **kwargs)

tuner = keras_tuner.RandomSearch(Model(), "loss", max_trials=1, directory="search")
tuner.search(x, y, epochs=1, verbose=0)
print("trained")
"""


@pytest.mark.one_backend
@SYSTEMS
def test_every_module_is_imported_and_models_are_trained(
    system: str, tmp_path: Path
) -> None:
    enter = f"os.chdir({str(tmp_path)!r}); ROOMS = {ROOMS!r}\n"
    done = run_python(system + enter + TRAIN)
    assert done.stdout.endswith("trained\n"), done.stderr


@pytest.mark.backend_free
def test_a_launcher_is_refused_where_processes_have_no_groups() -> None:
    code = "from keras_deeptools.tuning import launch_search\n"
    done = run_python(WINDOWS + code + "launch_search('script.py', workers=2)")
    said = done.stderr.splitlines()[-1]
    assert said.startswith("NotImplementedError: launch_search: the system must have")
    assert "sys.platform='win32'. Run it in WSL" in said


@pytest.mark.backend_free
def test_so_is_its_command() -> None:
    words = ["tune", "--workers", "2", "script.py"]
    code = f"from keras_deeptools.__main__ import main\nmain({words!r})"
    done = run_python(WINDOWS + code)
    assert done.returncode == 1
    assert done.stderr.startswith("launch_search: the system must have groups")


JOINING = {
    "KERASTUNER_TUNER_ID": "tuner0",
    "KERASTUNER_ORACLE_IP": "127.0.0.1",
    "KERASTUNER_ORACLE_PORT": "1234",
}


@pytest.mark.backend_free
def test_on_windows_a_process_that_joins_ends_with_the_code_of_its_script(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys; print(*sys.argv[1:]); sys.exit(7)")
    words = ["tune", "--join", str(script), "--depth", "3"]
    code = f"from keras_deeptools.__main__ import main\nmain({words!r})"
    done = run_python(WINDOWS + code, **JOINING)
    assert (done.returncode, done.stdout) == (7, "--depth 3\n"), done.stderr


@pytest.mark.backend_free
@pytest.mark.parametrize("name", ["SIGTERM", "SIGBREAK"])
def test_a_worker_that_is_told_to_end_can_give_its_trial_back(
    name: str, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import signal\n"
        "try:\n"
        f"    signal.raise_signal(signal.{name})\n"
        "except SystemExit:\n"
        "    print('goodbye')\n"
    )
    # Linux has no Ctrl-Break: another signal stands in for it.
    code = (
        "import runpy, signal, sys; signal.SIGBREAK = signal.SIGUSR1; "
        f"sys.argv = ['member.py', {str(script)!r}]; "
        f"sys.path.insert(0, ''); runpy.run_path({str(MEMBER)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "goodbye\n", done.stderr


class Held:
    """A move that is refused while another process has the file open.

    Args:
        times: Int, how often.
    """

    def __init__(self, times: int) -> None:
        self.times = times
        self.calls = 0

    def __call__(self, source: Path, target: Path) -> None:
        self.calls += 1
        if self.calls <= self.times:
            raise PermissionError(13, "in use", str(source))


@pytest.mark.backend_free
def test_on_windows_a_move_waits_for_whoever_reads_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    move = Held(3)
    move_when_free(move, Path("a"), Path("b"))
    assert move.calls == 4


@pytest.mark.backend_free
def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr("keras_deeptools._files.IN_USE", 0.05)
    with pytest.raises(PermissionError, match="in use"):
        move_when_free(Held(10**9), Path("a"), Path("b"))


@pytest.mark.backend_free
def test_elsewhere_what_may_not_be_moved_is_refused_at_once() -> None:
    move = Held(1)
    with pytest.raises(PermissionError):
        move_when_free(move, Path("a"), Path("b"))
    assert move.calls == 1


@pytest.mark.backend_free
def test_a_file_that_is_read_for_a_moment_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, held = os.replace, Held(2)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "replace", lambda a, b: (held(a, b), replace(a, b)))
    write_text(tmp_path / "file", "new")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.backend_free
def test_peak_memory_is_asked_of_the_system_where_there_is_no_proc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PROCESS", tmp_path)
    assert watch.peak_memory() > 2**20


@pytest.mark.backend_free
def test_peak_memory_is_none_where_the_system_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PROCESS", tmp_path)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert watch.peak_memory() is None
