"""A target in two processes: its report is what one process gives, whatever happens in which."""

import os
import threading
import time
from dataclasses import replace

import pytest

from harness.cases.catalogue import BY_ID, suite
from harness.check import CheckOptions, check, opened
from harness.cli.check import check_options
from harness.cli.request import CheckRequest
from harness.stopwatch import timed
from harness.targets import two_processes
from harness.targets.isolate import IsolatedTarget
from harness.targets.load import TargetError
from harness.targets.two_processes import TwoProcesses, is_known_to_compile, shapes_of_second

QUICK = suite("quick")
IN_TWO = CheckOptions(QUICK, processes=2, diagnosed=False)
MISBEHAVING = "tests.targets.misbehaving"
SECONDS = 10
"""After which a test has failed that waits for what does not come."""


@pytest.fixture
def numpy_compiles(monkeypatch):
    """Work is divided for every target that imports NumPy: the processes start sooner than JAX's."""
    monkeypatch.setattr(two_processes, "COMPILER", "numpy")


@pytest.fixture
def players(monkeypatch):
    """Who plays: a player for each play."""
    asked = []
    play = IsolatedTarget.play

    def noted(player, *arguments):
        asked.append(player)
        return play(player, *arguments)

    monkeypatch.setattr(IsolatedTarget, "play", noted)
    return asked


def same(a, b):
    """Whether two reports say the same. NaN is not itself."""
    assert a.judgements
    return all(repr(getattr(a, name)) == repr(getattr(b, name)) for name in ("judgements", "diagnosis", "notes")) and (
        [(played.case.id, played.dtype) for played in a.played]
        == [(played.case.id, played.dtype) for played in b.played]
    )


@pytest.mark.usefixtures("numpy_compiles")
@pytest.mark.parametrize(
    "target",
    [
        "numpy",
        "tests.targets.mutants.moving:MomentumInvertedD2l",
        *(f"{MISBEHAVING}:{name}" for name in ("Exits", "Segfaults", "Raises", "Prints", "NothingSupported")),
    ],
)
def test_a_report_of_two_processes_is_that_of_one(target, players):
    options = replace(IN_TWO, diagnosed=True, again=True)
    (of_two,) = check([target], options)
    assert len({id(player) for player in players}) == 2
    (of_one,) = check([target], replace(options, processes=1))
    assert same(of_two, of_one)


OF_SECOND = "x.shape == (4, 4, 4, 4) and x.dtype == 'float32'"
OF_FIRST = f"self.eps == {BY_ID['unusual_eps'].eps} and x.dtype == 'float32'"


@pytest.mark.usefixtures("numpy_compiles")
@pytest.mark.parametrize(
    ("dies", "deaths"),
    [(OF_SECOND, 1), (OF_FIRST, 1), (f"{OF_SECOND} or {OF_FIRST}", 2), ("x.shape == (4, 5)", 2)],
)
def test_a_target_is_given_up_after_two_deaths_in_the_order_of_cases(dies, deaths, tmp_path):
    """Whichever process plays the cases of which it dies."""
    assert (4, 4, 4, 4) in shapes_of_second(QUICK)
    assert BY_ID["unusual_eps"].shape not in shapes_of_second(QUICK)
    (tmp_path / "dies.py").write_text(
        "import os\n"
        "from reference.under_test import NumpyBatchNorm\n"
        "class Dies(NumpyBatchNorm):\n"
        "    def __init__(self, setup):\n"
        "        super().__init__(setup)\n"
        "        self.eps = setup.eps\n"
        "    def train(self, x, dy):\n"
        f"        if {dies}:\n"
        "            os._exit(3)\n"
        "        return super().train(x, dy)\n"
    )
    (of_two,) = check([f"{tmp_path}/dies.py:Dies"], IN_TWO)
    (of_one,) = check([f"{tmp_path}/dies.py:Dies"], replace(IN_TWO, processes=1))
    verdicts = [judgement.verdict for judgement in of_one.judgements]
    assert verdicts.count("crashed") == deaths
    assert ("not_run" in verdicts) == (deaths == 2)
    assert same(of_two, of_one)


@pytest.mark.usefixtures("numpy_compiles")
def test_what_can_be_loaded_once_at_a_time_is_played_by_the_first(players, monkeypatch):
    describe = IsolatedTarget.describe
    loaded = []

    def once(player):
        loaded.append(player)
        if player is not loaded[0]:
            raise TargetError("it is in use")
        return describe(player)

    with monkeypatch.context() as patched:
        patched.setattr(IsolatedTarget, "describe", once)
        (of_two,) = check(["numpy"], IN_TWO)
    assert len({*map(id, loaded)}) == 2
    assert {*map(id, players)} == {id(loaded[0])}
    (of_one,) = check(["numpy"], replace(IN_TWO, processes=1))
    assert same(of_two, of_one)


@pytest.mark.usefixtures("numpy_compiles")
def test_what_is_broken_off_leaves_no_process(monkeypatch):
    """The second hangs in a play when the first is interrupted."""
    hangs = threading.Event()
    processes = []
    start = IsolatedTarget._start

    def noted(player):
        start(player)
        processes.append(player._process._process)

    def on_case(_, what):
        if what == "all_axes_equal float64":
            hangs.set()
        if threading.current_thread() is threading.main_thread():
            assert hangs.wait(SECONDS)
            time.sleep(0.5)
            raise KeyboardInterrupt

    monkeypatch.setattr(IsolatedTarget, "_start", noted)
    cases = (BY_ID["all_axes_equal"], *(case for case in QUICK if case.id != "all_axes_equal"))
    assert BY_ID["all_axes_equal"].shape in shapes_of_second(cases)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(check([f"{MISBEHAVING}:Hangs"], replace(IN_TWO, cases=cases, timeout=60.0, on_case=on_case)))
    assert time.monotonic() - started < SECONDS
    assert len(processes) == 2
    assert all(process.poll() is not None for process in processes)


@pytest.mark.usefixtures("numpy_compiles")
def test_the_second_plays_no_further_case_once_all_is_broken_off(monkeypatch):
    has_begun, closed = threading.Event(), threading.Event()
    begun = []
    close = IsolatedTarget.close

    def noted(player):
        close(player)
        closed.set()

    def on_case(_, what):
        if threading.current_thread() is threading.main_thread():
            assert has_begun.wait(SECONDS)
            raise KeyboardInterrupt
        begun.append(what)
        has_begun.set()
        assert closed.wait(SECONDS)

    monkeypatch.setattr(IsolatedTarget, "close", noted)
    with pytest.raises(KeyboardInterrupt):
        list(check(["numpy"], replace(IN_TWO, on_case=on_case)))
    assert len(begun) == 1


@pytest.mark.usefixtures("numpy_compiles")
def test_both_processes_are_ended(monkeypatch):
    players = []
    start = IsolatedTarget._start

    def noted(player):
        start(player)
        players.append((player, player._process._process))

    monkeypatch.setattr(IsolatedTarget, "_start", noted)
    list(check(["numpy"], IN_TWO))
    assert len(players) == 2
    assert all(process.poll() is not None for _, process in players)
    assert not any(player._printed.path.exists() for player, _ in players)


@pytest.mark.usefixtures("numpy_compiles")
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 2, 3)])
def test_what_is_noticed_of_one_process_is_a_note(shape, tmp_path):
    """Each of the shapes is played by another."""
    (tmp_path / "prints.py").write_text(
        "from reference.under_test import NumpyBatchNorm\n"
        "class Prints(NumpyBatchNorm):\n"
        "    def train(self, x, dy):\n"
        f"        if x.shape == {shape}:\n"
        "            print('a line')\n"
        "        return super().train(x, dy)\n"
    )
    (report,) = check([f"{tmp_path}/prints.py:Prints"], IN_TWO)
    assert [note.id for note in report.notes].count("prints") == 1


@pytest.mark.usefixtures("numpy_compiles")
def test_time_is_counted_once():
    started = time.perf_counter()
    with timed() as parts:
        list(check(["numpy"], IN_TWO))
    assert sum(parts.values()) < time.perf_counter() - started


def test_both_have_about_half_of_the_programs_and_a_shape_is_played_by_one():
    cases = suite("full")
    seconds = shapes_of_second(cases)
    assert seconds == shapes_of_second(reversed(cases))
    programs = {
        (case.shape, dtype, op.rstrip("'"), case.eps, case.new_weight)
        for case in cases
        for dtype in case.dtypes
        for op in case.script
    }
    share = sum(shape in seconds for shape, *_ in programs) / len(programs)
    assert 0.45 < share < 0.55


@pytest.mark.parametrize(
    ("name", "cases", "is_divided"),
    [("numpy", QUICK, False), ("imports_jax", QUICK, True), ("imports_jax", QUICK[:3], False)],
)
def test_work_is_divided_where_it_is_worth_it(name, cases, is_divided, tmp_path):
    pytest.importorskip("jax")
    (tmp_path / "layer.py").write_text("import jax\nfrom reference.under_test import NumpyBatchNorm as Layer\n")
    target = name if name == "numpy" else f"{tmp_path}/layer.py:Layer"
    with opened(target, replace(IN_TWO, cases=cases)) as player:
        assert player.second is None
        assert (player.divide() is not None) == is_divided


def test_on_a_gpu_and_of_programs_there_is_one_process(monkeypatch):
    for target in ("jax@cuda", "exec:cat"):
        with opened(target, IN_TWO) as player:
            assert player.second is None
            monkeypatch.setattr(player, "describe", lambda: pytest.fail("it is not asked"))
            assert player.divide() is None


def test_those_that_are_known_to_compile_start_twice_at_once():
    assert [
        name for name in ("jax", "flax", "flax-nnx", "numpy", "torch", "x.py:Jax") if is_known_to_compile(name)
    ] == [
        "jax",
        "flax",
        "flax-nnx",
    ]
    with opened("jax", IN_TWO) as player:
        assert isinstance(player.second, IsolatedTarget)


def test_one_process_is_asked_for_by_one_and_by_resume(tmp_path):
    with opened("numpy", replace(IN_TWO, processes=1)) as player:
        assert isinstance(player, IsolatedTarget)
    with opened("numpy", replace(IN_TWO, resume=tmp_path)) as player:
        assert not isinstance(player, TwoProcesses)


@pytest.mark.parametrize(("jobs", "processes"), [(None, 2), (1, 1), (3, 1)])
def test_jobs_are_one_process_each(jobs, processes, monkeypatch):
    monkeypatch.setattr(two_processes, "processes_here", lambda: 2)
    options = check_options(CheckRequest(("numpy",), jobs=jobs), QUICK, lambda **_: None)
    assert options.processes == processes


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a system that binds processes to cores")
def test_two_processes_need_two_cores():
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert two_processes.processes_here() == 1
    finally:
        os.sched_setaffinity(0, cores)
    assert two_processes.processes_here() == min(2, len(cores))
