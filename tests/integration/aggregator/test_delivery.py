"""What must hold of the aggregator on a real broker, whichever driver carries it."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.settings import CommonSettings
from tests.fixtures import oracle, rerun
from tests.fixtures.aggregators import TOPICS, events, feed, read, settled, workers
from tests.fixtures.until import until

pytestmark = [pytest.mark.topics(*TOPICS)]


@pytest.mark.parametrize("driver", ["batch", "stock"])
async def test_every_entity_ends_as_a_plain_fold_of_the_log_says(
    common: CommonSettings, tmp_path: Path, driver: str
) -> None:
    await feed(common, events(4000, 100))

    async def told() -> bool:
        return oracle.faults(await read(common, "raw.market"), await read(common, "fused.market")) == []

    async with workers(common, tmp_path, PARALLAX_DRIVER=driver) as (worker,):
        # Faust's own commit can stand still for good although all is folded (faust-streaming 596), so the records are asked.
        await (settled(common) if driver == "batch" else until(told, "every entity is told as the log says"))
        assert worker.stop() == 0
        assert worker.text().count("sought back") < 100, (
            "once for a gap, not for each of the thousand records behind it"
        )
    raw, fused = await read(common, "raw.market"), await read(common, "fused.market")
    assert oracle.faults(raw, fused) == []
    assert rerun.differences("market", raw, fused) == []
