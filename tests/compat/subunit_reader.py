"""Turn a subunit stream (standard input) into one JSON object a test (standard output).

Run by the interpreter of an outside suite, which has `subunit` and `testtools`; ours has neither.
Shape: {"test": id, "status": "success" | "skip" | "fail" | …, "details": {name: text}}.
"""

import json
import sys
from typing import Any


def main() -> None:
    """Read the stream to its end; a test that began and never ended comes last, as `inprogress`."""
    import subunit  # type: ignore[import-not-found]  # only in the suites' own environments
    import testtools  # type: ignore[import-not-found]

    def write(test: dict[str, Any]) -> None:
        # `exists` announces a test that another packet reports.
        if test["status"] == "exists":
            return
        details = {name: content.as_text() for name, content in test["details"].items()}
        line = {"test": test["id"], "status": test["status"], "details": details}
        print(json.dumps(line), flush=True)

    result = testtools.StreamToDict(write)
    result.startTestRun()
    subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="stdout").run(result)
    result.stopTestRun()


if __name__ == "__main__":
    main()
