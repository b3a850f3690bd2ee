"""A slice of `python -m tests.experiments.fuzz_readers`: no changed file ends in anything but a result or one line."""

import io
import json
import random
import warnings

import numpy as np
import pytest

from tests.experiments.fuzz_readers import changed, readers
from tests.experiments.outside_readers import an_environment, expected_of_a_script, index_page, under_a_checksum, zipped

FILES = 40


@pytest.fixture(scope="module")
def known():
    return readers()


def test_every_reader_reads_what_is_right_and_refuses_the_rest_in_one_line(known, tmp_path):
    for name, reader in known.items():
        rng, path = random.Random(name), tmp_path / "file"
        path.write_bytes(reader.good)
        assert reader.read(path) is not None
        refusals = []
        for _ in range(FILES):
            path.write_bytes(changed(rng, reader))
            try:
                reader.read(path)
            except reader.refusals as error:
                refusals.append(str(error))
        assert bool(refusals) == bool(reader.refusals), name
        assert not [refusal for refusal in refusals if "\n" in refusal]


BEFORE_CALENDARS = b'{"type":"header","made":"0001-01-01T00:00:00+14:00"}\n'
HEADER_IS_NO_PYTHON = {"x.npy": b"\x93NUMPY\x01\x00\x06\x00{'a':\n"}


OF_OLD = b"{'descr': '<a4', 'fortran_order': False, 'shape': (1,)}\n"
OF_A_TYPE_GIVEN_UP = b"\x93NUMPY\x01\x00" + len(OF_OLD).to_bytes(2, "little") + OF_OLD + b"abcd"


def of_other_arrays(dtype):
    def change(content):
        return content.replace(b"<f8", dtype.encode())

    return under_a_checksum(expected_of_a_script(), change, random.Random(0))


def beyond_unicode():
    """NumPy's text '{"a": "b"}', with a number in the place of b that is too large for a character."""
    saved = io.BytesIO()
    np.save(saved, np.array('{"a": "b"}'))
    return saved.getvalue().replace(b"b\0\0\0", b"b\0\x11\0")


ENVIRONMENT = json.loads(an_environment())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ledger of an earlier run", BEFORE_CALENDARS),
        ("--input", zipped(HEADER_IS_NO_PYTHON)),
        ("checkpoint", zipped({"content.npy": HEADER_IS_NO_PYTHON["x.npy"]})),
        ("checkpoint", zipped({"content.npy": beyond_unicode()})),
        ("checkpoint", zipped({"content.npy": OF_A_TYPE_GIVEN_UP})),
        ("--input", zipped({"x.npy": OF_A_TYPE_GIVEN_UP})),
        ("an environment", b'"a string"'),
        ("an environment", json.dumps(ENVIRONMENT | {"made": {}}).encode()),
        ("an environment", json.dumps(ENVIRONMENT | {"versions": {"flax": 0.8}}).encode()),
        ("an environment", json.dumps(ENVIRONMENT | {"requirements": 1.5}).encode()),
        ("package index", b'{"files": [{"filename": 5}]}'),
        ("package index", index_page().replace(b"2024-06", b"2024-96")),
        ("package index", index_page().replace(b'">=3.9"', b"39")),
        ("expected values kept", under_a_checksum(b"0000[]\n", bytes, random.Random(0))),
        ("expected values kept", of_other_arrays("<4a")),  # read with a warning of NumPy's
        ("expected values kept", of_other_arrays("<i8")),
    ],
)
def test_what_was_once_a_traceback(name, content, known, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    reader = known[name]
    if not reader.refusals:
        reader.read(path)
        return
    with pytest.raises(reader.refusals) as refused:
        reader.read(path)
    assert "\n" not in str(refused.value)


def test_an_environment_of_other_types_is_none(known, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(json.dumps(ENVIRONMENT | {"seconds": "3"}).encode())
    assert known["an environment"].read(path) is True
    path.write_bytes(an_environment())
    assert known["an environment"].read(path) is not True


def test_arrays_that_python_2_wrote_are_read_without_a_warning(known, tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4L, 3L), }\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + np.arange(12.0).tobytes()
    path = tmp_path / "file"
    path.write_bytes(zipped({"x.npy": content}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert known["--input"].read(path).shape == (4, 3)
