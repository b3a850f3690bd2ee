"""What a report's page shows beside its ledger: the catalogue's words on each case, and scripts that show failures."""

from __future__ import annotations

from functools import lru_cache

from harness.cases.case import Case
from harness.cases.catalogue import CASES
from harness.cases.traps import source_of
from harness.cli.standalone.script import saved, stand_alone
from harness.record.kinds import ComparisonRecord
from harness.record.read import Records
from reports.companion import CaseText, Companion, StandaloneScript

LARGEST = 300_000
"""Bytes of arrays beside a page: `bnproof reproduce` makes what takes more."""


def of_records(records: Records) -> Companion:
    conventions = {target.target: target.conventions for target in records.targets}

    def script(comparison: ComparisonRecord, arrays_file: str) -> StandaloneScript | None:
        judged_by = conventions.get(comparison.target)
        if judged_by is None:
            return None
        made = stand_alone(comparison, comparison.target, judged_by, records.header.seed, arrays_file)
        if made is None:
            return None
        arrays = saved(made.arrays) if made.arrays else b""
        return StandaloneScript(made.text, arrays) if len(arrays) <= LARGEST else None

    return Companion(texts(), script)


@lru_cache(1)
def texts() -> dict[str, CaseText]:
    return {case.id: text_of(case) for case in CASES}


def text_of(case: Case) -> CaseText:
    return CaseText(case.id, case.why, source_of(case), case.shape, case.script, case.eps, case.separates)
