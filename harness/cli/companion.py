"""What a report's page shows beside its ledger: the catalogue's words on each case, and scripts that show failures."""

from __future__ import annotations

from functools import lru_cache

from harness.cases.case import Case
from harness.cases.catalogue import CASES
from harness.cases.traps import source_of
from harness.cli.standalone.script import stand_alone
from harness.record.kinds import ComparisonRecord
from harness.record.read import Records
from reports.companion import CaseText, Companion


def of_records(records: Records) -> Companion:
    conventions = {target.target: target.conventions for target in records.targets}

    def script(comparison: ComparisonRecord) -> str:
        judged_by = conventions.get(comparison.target)
        if judged_by is None:
            return ""
        made = stand_alone(comparison, comparison.target, judged_by, records.header.seed)
        return made.text if made else ""

    return Companion(texts(), script)


@lru_cache(1)
def texts() -> dict[str, CaseText]:
    return {case.id: text_of(case) for case in CASES}


def text_of(case: Case) -> CaseText:
    return CaseText(case.id, case.why, source_of(case), case.shape, case.script, case.eps, case.separates)
