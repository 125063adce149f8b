"""The collector is killed again and again under full load."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.settings import CommonSettings
from tests.fixtures.collector_process import survives_kills

pytestmark = [pytest.mark.chaos, pytest.mark.topics("raw.*", "ops.*", "archive", "dlq")]


@pytest.mark.timeout(1800)
async def test_thirty_kills_leave_no_hole_and_no_second_id(common: CommonSettings, tmp_path: Path) -> None:
    await survives_kills(common, tmp_path, times=30)
