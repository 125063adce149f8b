"""A folder of recorded answers and socket logs (manifest.json) as steps in the order of their time."""

from __future__ import annotations

import calendar
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from services.common.errors import MachineError

MANIFEST = "manifest.json"


class Request(Struct, frozen=True, kw_only=True):
    """What was asked."""

    method: str = "GET"
    url: str | None = None
    params: dict[str, Any] = {}
    body: Any = None


class Recording(Struct, frozen=True, kw_only=True):
    """One case of the manifest; keys that replay does not need are left unread."""

    id: str
    provider: str
    endpoint: str
    kind: str
    file: str
    request: Request | None = None
    status: int | None = 200
    captured_at: str | None = None
    response_headers: dict[str, str] = {}
    source: dict[str, Any] = {}
    notes: str | None = None


class _Manifest(Struct, frozen=True, kw_only=True):
    cases: list[Recording]


class Step(Struct, frozen=True, kw_only=True):
    """One thing that arrived: a whole answer, or one socket message."""

    at_ms: int
    recording: Recording
    body: bytes
    conn: int = 0
    opened: bool = False
    """The first message of a connection: what was known of the one before is void."""


def read(folder: Path) -> list[Recording]:
    """Cases of a folder; MachineError when it is none."""
    file = folder / MANIFEST
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Manifest).cases
    except OSError as error:
        raise MachineError(
            str(file), "a folder of recordings", error.strerror or "nothing", "name the folder that holds manifest.json"
        ) from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise MachineError(
            str(file), "cases: [{id, provider, endpoint, kind: http or ws, file, request}]", str(error)
        ) from None


def times(recordings: Iterable[Recording]) -> dict[str, int]:
    """Receive time of each case in ms: recorded; else the date its notes name; else the newest dated case of its source.

    A function of the manifest alone, so that two replays give the same records."""
    known = list(recordings)
    dated = {one.id: _moment_ms(one.captured_at) for one in known if one.captured_at}
    newest: dict[str, int] = {}
    for one in known:
        if one.id in dated:
            source = str(one.source.get("repo"))
            newest[source] = max(newest.get(source, 0), dated[one.id])
    first = min(dated.values(), default=0)
    return {
        one.id: dated.get(one.id) or noted_ms(one.notes or "") or newest.get(str(one.source.get("repo")), first)
        for one in known
    }


def _moment_ms(written: str) -> int:
    moment = datetime.fromisoformat(written.replace("Z", "+00:00"))
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


_DAY = re.compile(r"\b(20\d\d)-(\d\d)-(\d\d)\b")
_MONTH = re.compile(r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* (20\d\d)\b")
_YEAR = re.compile(r"\b(20\d\d)\b")
_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}


def noted_ms(notes: str) -> int | None:
    """End of the last day that a note names, else of the last month, else of the last year; None when it names none.

    The end, for an answer of May holds statements of all of May, and a statement later than its receipt is refused."""
    days = [datetime(int(y), int(m), int(d), tzinfo=UTC) + timedelta(days=1) for y, m, d in _DAY.findall(notes)]
    months = [_after_month(int(year), _MONTHS[name]) for name, year in _MONTH.findall(notes)]
    years = [datetime(int(year) + 1, 1, 1, tzinfo=UTC) for year in _YEAR.findall(notes)]
    named = days or months or years
    return round(max(named).timestamp() * 1000) if named else None


def _after_month(year: int, month: int) -> datetime:
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def steps(folder: Path, recordings: Iterable[Recording], at_ms: dict[str, int]) -> list[Step]:
    """Everything that arrived, oldest first; snapshots that were fetched beside a socket stand where they came."""
    found: list[Step] = []
    for recording in recordings:
        try:
            data = (folder / recording.file).read_bytes()
        except OSError as error:
            raise MachineError(str(folder / recording.file), "a recorded file", error.strerror or "nothing") from None
        if recording.kind == "ws":
            found += _messages(recording, data, at_ms[recording.id])
        else:
            found.append(Step(at_ms=at_ms[recording.id], recording=recording, body=data))
    return sorted(found, key=lambda step: step.at_ms)


def _messages(recording: Recording, data: bytes, at_ms: int) -> Iterator[Step]:
    opened: set[int] = set()
    for line in data.splitlines():
        if not line.strip():
            continue
        said = json.loads(line)
        conn = int(said.get("conn") or 0)
        if said.get("dir") == "open":
            opened.discard(conn)
        if said.get("dir") != "received":
            continue
        moment = said.get("t")
        yield Step(
            at_ms=round(moment * 1000) if moment is not None else at_ms,
            recording=recording,
            body=str(said["data"]).encode(),
            conn=conn,
            opened=conn not in opened,
        )
        opened.add(conn)
