"""Every recorded case of the reference implementations, by the runner of its family and kind.

`pytest tests/parity --parity-root DIR` runs every case folder `DIR/<family>/<case>`. A variant that does not exist here
is an expected failure "not yet built: what"; with `--parity-strict` it is a failure.
"""

import pytest
from harness import Case
from runners import RUNNERS


def test_reproduces_the_reference(parity_case: Case, request: pytest.FixtureRequest):
    runner = RUNNERS.get((parity_case.family, parity_case.kind))
    if runner is None:
        parity_case.not_built(f"{parity_case.family}/{parity_case.kind}")
    else:
        try:
            runner(parity_case)
        finally:
            request.node.user_properties.append(("parity", parity_case.report()))
        assert parity_case.finished, f"the runner of {parity_case.family}/{parity_case.kind} does not call finish()"
