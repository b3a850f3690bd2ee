"""The command among rude targets, odd names and signals: one line, an exit status, and nothing left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUDE = Path(__file__).parent / "targets" / "rude.py"
ONE_CASE = ("--case", "rank4")
PYTHON_PATH = {"PYTHONPATH": str(ROOT)}
TIDY_SECONDS = 3


def command(*arguments):
    return [sys.executable, "-m", "harness.cli", "check", *map(str, arguments)]


def bnproof(*arguments, cwd=ROOT, **variables):
    environment = os.environ | PYTHON_PATH | variables
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, errors="replace", cwd=cwd, env=environment, timeout=120
    )


def alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # a zombie has ended; whoever adopted it has not looked yet


def wait_until(condition, seconds):
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.05)
    return condition()


# --- a target that dies or hangs before it is judged ---


@pytest.mark.parametrize(
    ("name", "verdict", "timeout"), [("SegfaultsUndeclared", "crashed", 2), ("HangsUndeclared", "timed_out", 0.5)]
)
def test_a_death_while_conventions_are_probed_is_the_verdict(tmp_path, name, verdict, timeout):
    started = time.monotonic()
    done = bnproof(f"{RUDE}:{name}", "--timeout", timeout, "--json", tmp_path / "v.json")
    assert done.returncode == 3, done.stderr
    assert time.monotonic() - started < 15
    (target,) = json.loads((tmp_path / "v.json").read_text())["targets"]
    assert target["verdict"] == verdict
    (died,) = [case for case in target["cases"] if case["verdict"] == verdict]
    assert died["reason"] == "died"
    assert "while its conventions were probed" in died["message"]
    assert {case["verdict"] for case in target["cases"]} == {verdict, "not_run"}


# --- nothing is left behind ---


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_leaves_no_process_and_no_file(tmp_path, number, status):
    noted, temporary, result = tmp_path / "processes", tmp_path / "tmp", tmp_path / "v.json"
    temporary.mkdir()
    environment = os.environ | {"RUDE_PROCESSES": str(noted), "TMPDIR": str(temporary)}
    running = subprocess.Popen(
        command(f"{RUDE}:HangsWithGrandchild", *ONE_CASE, "--json", result),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment, start_new_session=True,
    )  # fmt: skip
    assert wait_until(lambda: noted.exists() and len(noted.read_text().split()) == 2, 60)
    processes = [int(process) for process in noted.read_text().split()]
    assert all(map(alive, processes))
    assert [*temporary.glob("bnproof-*")]
    running.send_signal(number)
    errors = running.communicate(timeout=TIDY_SECONDS)[1]
    assert running.returncode == status
    assert wait_until(lambda: not any(map(alive, processes)), TIDY_SECONDS)
    assert wait_until(lambda: not [*temporary.glob("bnproof-*")], TIDY_SECONDS)
    assert not result.exists()
    expected = [] if number == signal.SIGKILL else [f"stopped by {number.name}"]
    assert errors.splitlines() == expected


def test_a_path_with_an_end_of_line_is_refused_in_one_line():
    words = [sys.executable, "-m", "harness.cli", "render", "no\nledger"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


WHILE_NOTHING_CAN_BE_RAISED = """
import os, signal, time
from harness.cli import app


class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.%s)
        time.sleep(0.01)


def command(**_):
    Last()
    time.sleep(30)
    print("went on")


app.app = command
app.main()
"""


SLOW_TO_START = """
import threading, time
start = threading.Thread.start
threading.Thread.start = lambda thread: (start(thread), time.sleep(0.1))
"""


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
@pytest.mark.parametrize("machine", ["", SLOW_TO_START], ids=["quick", "slow"])
def test_a_signal_in_a_destructor_ends_the_command(machine, name, status):
    code = machine + WHILE_NOTHING_CAN_BE_RAISED % name
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"stopped by {name}\n")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_a_target_started_does_not_outlive_the_check(tmp_path):
    noted = tmp_path / "processes"
    done = bnproof(f"{RUDE}:LeavesGrandchild", *ONE_CASE, RUDE_PROCESSES=str(noted))
    assert done.returncode == 0, done.stderr
    assert wait_until(lambda: not alive(int(noted.read_text())), TIDY_SECONDS)


def test_a_target_that_forks_answers_once_and_the_others_are_judged(tmp_path):
    done = bnproof(f"{RUDE}:Forks", f"{RUDE}:Good", *ONE_CASE, "--json", tmp_path / "v.json")
    assert "Traceback" not in done.stderr
    verdicts = [target["verdict"] for target in json.loads((tmp_path / "v.json").read_text())["targets"]]
    assert verdicts == ["agree", "agree"]


# --- words that cannot be written ---


def test_half_a_character_in_a_message_ends_nothing(tmp_path):
    done = bnproof(f"{RUDE}:Surrogate", *ONE_CASE, "--markdown", tmp_path / "s.md", "--json", tmp_path / "v.json")
    assert done.returncode == 1, done.stderr
    assert r"half a character: \udcff" in done.stdout
    assert "half a character" in (tmp_path / "s.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "v.json").read_text())["targets"][0]["verdict"] == "raised"


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes there")
def test_half_a_character_in_a_files_name_ends_nothing(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/norm\xff.py")
    shutil.copy(RUDE, path)
    done = bnproof(f"{path}:Good", *ONE_CASE, "--markdown", tmp_path / "s.md")
    assert done.returncode == 0, done.stderr
    assert "agree" in (tmp_path / "s.md").read_text(encoding="utf-8")


def test_an_exception_without_words_is_raised_not_crashed():
    done = bnproof(f"{RUDE}:Unprintable", *ONE_CASE)
    assert done.returncode == 1, done.stderr
    assert "raised: UnprintableError" in done.stdout


# --- odd places ---


def test_a_hash_in_a_path_is_part_of_it(tmp_path):
    folder = tmp_path / "a#1"
    folder.mkdir()
    shutil.copy(RUDE, folder)
    assert bnproof(f"{folder}/rude.py:Good", *ONE_CASE).returncode == 0


@pytest.mark.parametrize("name", ["./select.py:Good", "select.py:Good", "numpy"])
def test_a_file_with_a_name_of_the_standard_library_is_in_nobodys_way(tmp_path, name):
    (tmp_path / "select.py").write_text(RUDE.read_text())
    done = bnproof(name, *ONE_CASE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_module_beside_a_target_is_found_before_what_is_installed(tmp_path):
    (tmp_path / "rich.py").write_text(RUDE.read_text())
    (tmp_path / "mine.py").write_text("from rich import Good\n")
    assert bnproof("mine:Good", *ONE_CASE, cwd=tmp_path).returncode == 0
    assert bnproof("mine.py:Good", *ONE_CASE, cwd=tmp_path).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a directory in use cannot be deleted")
def test_a_deleted_working_directory_is_no_crash_of_the_target(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    line = f"import os; os.chdir({str(folder)!r}); os.rmdir({str(folder)!r}); from harness.cli.app import main; main()"
    arguments = ["check", f"{RUDE}:Good", *ONE_CASE]
    done = subprocess.run(
        [sys.executable, "-c", line, *arguments],
        capture_output=True, text=True, env=os.environ | PYTHON_PATH, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "agree" in done.stdout


# --- places that cannot be written ---


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("where", ["stdout", "--json", "--markdown"])
def test_a_full_disk_is_one_line(where):
    arguments = [] if where == "stdout" else [where, "/dev/full"]
    with open("/dev/full" if where == "stdout" else os.devnull, "w") as output:
        done = subprocess.run(
            command("numpy", *ONE_CASE, *arguments), stdout=output, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "No space left on device" in line


def test_a_reader_that_leaves_early_is_no_error():
    line = f"({sys.executable} -m harness.cli list; echo $? >&2) | head -1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.stderr == f"{128 + signal.SIGPIPE}\n"  # a status of 1 would say that something differs


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_error(closed):
    line = f"{sys.executable} -m harness.cli --version {closed}"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
