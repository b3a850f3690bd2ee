"""NumPy's training computes a batch in two halves: the same numbers in one thread and in two, and no thread is left.

The reference's training is the same as a formula; `test_training_runs.py` holds whole trainings of the two equal.
"""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from impls.numpy import threads, training
from impls.numpy.buffers import LINE, Buffers, in_one_vector
from impls.numpy.layers import Moments
from impls.numpy.lenet import LeNet
from reference import training as reference_training
from reference.conventions import TrainingSettings
from reference.lenet import initial_weights

RNG = np.random.default_rng(0)
DATA = SimpleNamespace(
    train_images=RNG.integers(0, 256, (101, 28, 28), np.uint8),
    train_labels=RNG.integers(0, 10, 101),
    test_images=RNG.integers(0, 256, (33, 28, 28), np.uint8),
    test_labels=RNG.integers(0, 10, 33),
)
ORDERS = np.stack([RNG.permutation(101), RNG.permutation(101)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_thread_and_two_give_the_same_bits(dtype):
    settings = TrainingSettings(1.0, 32, dtype)
    alone = training.train_by(threads.in_turn, DATA, initial_weights(0), ORDERS, settings)
    with threads.beside() as run:
        together = training.train_by(run, DATA, initial_weights(0), ORDERS, settings)
    assert (alone["step"], together["step"]) == ("NumPy", "NumPy, halves of a batch in two threads")
    for name, array in alone["weights"].items():
        assert array.tobytes() == together["weights"][name].tobytes(), name
    for one, two in zip(alone["history"], together["history"], strict=True):
        assert {**one, "seconds": 0, "step_seconds": 0} == {**two, "seconds": 0, "step_seconds": 0}


@pytest.mark.parametrize("examples", [1, 2, 3, 32])
def test_a_batch_of_any_size_is_the_references(examples):
    images, labels = DATA.train_images[:examples], DATA.train_labels[:examples]
    expected = reference_training.inspect(initial_weights(0), images, labels, dtype="float64")
    with threads.beside() as run:
        net = LeNet(initial_weights(0), "float64", run).of_batch(examples)
        logits = net.forward(images, training=True)
        activations = net.activations() | {"dense3": logits.T}
        gradients = net.backward(training.cross_entropy(logits, labels)[1])
    for ours, theirs in zip((gradients, activations), expected, strict=True):
        assert ours.keys() == theirs.keys()
        for name, array in theirs.items():
            np.testing.assert_allclose(ours[name], array, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_buffers_share_nothing(dtype):
    buffers = Buffers(dtype)
    arrays = [buffers.empty(*shape) for shape in [(3,), (5, 7), (2500, 1000), (2500, 1000), (11,), (3000, 2000)]]
    for number, array in enumerate(arrays):
        array[...] = number
    for number, array in enumerate(arrays):
        assert array.dtype == dtype
        assert (array == number).all()
        assert array.ctypes.data % LINE == 0


def test_the_parts_of_a_vector_are_its_arrays():
    like = {"a": np.empty((2, 3)), "b": np.empty(1), "c": np.empty((2, 1, 2))}
    vector, parts = in_one_vector(like, "float32")
    for number, part in enumerate(parts.values(), start=1):
        part += number
    assert {name: part.shape for name, part in parts.items()} == {name: array.shape for name, array in like.items()}
    assert vector.dtype == np.float32
    assert vector.tolist() == [1] * 6 + [2] + [3] * 4


def test_moments_are_merged():
    x = RNG.normal(100, 1, (3, 50))

    def of(values):
        mean = values.mean(axis=1)
        return Moments(values.shape[1], mean, ((values - mean[:, None]) ** 2).sum(axis=1))

    whole, merged = of(x), of(x[:, :13]) + of(x[:, 13:])
    assert merged.count == 50
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-15)
    np.testing.assert_allclose(merged.squares, whole.squares, rtol=1e-13)


def counting(to, fails_at=None):
    """Yields 0, 1, ... to - 1 and returns the sums that it got."""
    sums = []
    for number in range(to):
        if number == fails_at:
            raise ZeroDivisionError
        sums.append((yield sum, number))
    return sums


@pytest.mark.parametrize("part", [0, 1])
def test_an_error_in_either_half_is_raised_and_ends_both(part):
    before = threading.active_count()
    pair = [counting(3), counting(3)]
    pair[part] = counting(3, fails_at=1)
    with pytest.raises(ZeroDivisionError), threads.beside() as run:
        run(pair)
    assert threading.active_count() == before


def failing(values):  # noqa: ARG001 - as it is called
    raise ZeroDivisionError


def joined_by(join):
    yield join, None


@pytest.mark.parametrize(
    "pair",
    [(counting(3, 1), counting(3)), (counting(3), counting(3, 1)), (joined_by(failing), joined_by(failing))],
    ids=["first", "second", "what joins them"],
)
def test_what_is_run_after_an_error_is_not_touched_by_it(pair):
    with threads.beside() as run:
        with pytest.raises(ZeroDivisionError):
            run(pair)
        assert run([counting(2), counting(2)]) == [[0, 2], [0, 2]]


def test_an_interrupt_before_the_first_part_ends_the_second(monkeypatch):
    of_second = threads.Meeting.run

    def interrupted(meeting, number, part):
        if number == 0:
            raise KeyboardInterrupt
        return of_second(meeting, number, part)

    monkeypatch.setattr(threads.Meeting, "run", interrupted)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), threads.beside() as run:
        run([counting(3), counting(3)])
    assert threading.active_count() == before


def test_parts_meet_at_every_yield():
    with threads.beside() as run:
        for runner in (threads.in_turn, run):
            assert runner([counting(3), counting(3)]) == [[0, 2, 4], [0, 2, 4]]
        assert run([counting(2)]) == [[0, 1]]


def test_openblas_has_its_threads_back():
    blas = threads.OpenBLAS.of_numpy()
    if blas is None:
        pytest.skip("NumPy is linked with another BLAS")
    before = blas.get_threads()
    try:
        for allowed in (1, 2):
            blas.set_threads(allowed)
            with threads.two_threads() as run:
                assert (blas.get_threads(), run is threads.in_turn) == (1, allowed == 1)
            assert blas.get_threads() == allowed
    finally:
        blas.set_threads(before)


def test_another_blas_computes_by_itself(monkeypatch):
    monkeypatch.setattr(threads.OpenBLAS, "of_numpy", lambda: None)
    with threads.two_threads() as run:
        assert run is threads.in_turn
