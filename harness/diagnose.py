def diagnose(report): return []
def observations_to_notes(report, isolated): return []
