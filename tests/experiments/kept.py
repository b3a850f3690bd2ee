"""Results of jobs, kept in a folder so that an interrupted command resumes from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from itertools import tee
from pathlib import Path
from typing import Any

from harness.jobs.engines import Engine
from harness.jobs.job import Job, result_of


def kept_or_done(
    engine: Engine,
    jobs: Iterable[tuple[str, Job]],
    folder: Path | None,
    to_json: Callable[[Any], Any],
    from_json: Callable[[Any], Any],
) -> Generator[Any, None, None]:
    """The result of each job, in order: from the folder, or from the engine and then kept there.

    jobs: each with the name of its file; there may be no end of them. Raises JobError where one fails.
    """
    there = {path.name for path in folder.iterdir()} if folder else set()
    named, again = tee(jobs)
    with closing(engine.in_order(job for name, job in again if name not in there)) as outcomes:
        for name, _ in named:
            if folder and name in there:
                yield from_json(json.loads((folder / name).read_text()))
                continue
            result = result_of(next(outcomes))
            if folder:
                unfinished = folder / f"{name}.part"
                unfinished.write_text(json.dumps(to_json(result)))
                unfinished.rename(folder / name)
            yield result
