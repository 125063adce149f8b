"""The tutorial's commands, run as a reader would, one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorials" / "provider-in-ten-minutes.md"


def test_a_provider_comes_to_be_by_the_commands_of_the_page(tmp_path: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) == 5
    script = f'parallax() {{ "{sys.executable}" -m services.cli "$@"; }}\n' + "\n".join(blocks)
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for line in re.findall(r"^  (.+)$", PAGE.read_text().split("```text\n")[1].split("```")[0], re.M):
        assert line in done.stderr, line
    assert '"volume_24h": 31000000000.0' in (tmp_path / "providers" / "acme" / "coins.expected.json").read_text()
    assert "1 definition, 0 faults" in done.stderr
    assert done.stdout.splitlines()[-1] == "acme coins"
