"""What is listed as known to differ still does: the list of `--known` shrinks as the library gets better."""


def test_still_differs(reports, known_case):
    reports.assert_known_difference(known_case)
