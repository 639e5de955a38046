"""The demo where real switches cannot run: the same plan, real but for the switches, and honest about it."""

import subprocess
import sys


def test_the_plan_runs_on_the_simulated_switch() -> None:
    """Every pair is as it must be, every line of a result says *simulated*, no times are shown, and the status is 2."""
    command = [sys.executable, "-m", "alcor.lab.demo", "--check", "--simulated"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 2, done.stdout + done.stderr
    results = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert len(results) == 12
    assert [line for line in results if "simulated" not in line] == []
    assert "✓ 27 pairs reach one another, 3 pairs do not: all as it must be (simulated)." in done.stdout
    assert " ms" not in done.stdout
