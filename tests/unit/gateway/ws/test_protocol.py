"""Messages of hub.v1, to the byte."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.ws import protocol
from services.gateway.ws.protocol import BadCommand, Command, read, text_frame, texts
from services.gateway.ws.services import PATHS, SERVICES, services_of

T0 = 1_790_000_000_000


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_frame_has_the_shortest_length_form(size: int, head: bytes) -> None:
    assert text_frame(b"x" * size) == head + b"x" * size


@given(st.lists(st.text(max_size=300)))
def test_joined_frames_come_apart_again(words: list[str]) -> None:
    assert list(texts(b"".join(text_frame(word.encode()) for word in words))) == words


def test_an_update_is_its_records_in_an_envelope() -> None:
    assert protocol.update("market_data", 17, T0, b'{"a":1},{"a":2}') == (
        b'{"service":"market_data","type":"update","seq":17,"timestamp":"2026-09-21T14:13:20.000Z","data":[{"a":1},{"a":2}]}'
    )
    assert protocol.update("news", 1, T0, b"{}", cursor="abc") == (
        b'{"service":"news","type":"update","seq":1,"timestamp":"2026-09-21T14:13:20.000Z","data":[{}],"cursor":"abc"}'
    )


def test_a_snapshot_says_which_part_it_is() -> None:
    assert protocol.snapshot("nft", 3, T0, b"", 1, 1) == (
        b'{"service":"nft","type":"snapshot","seq":3,"timestamp":"2026-09-21T14:13:20.000Z","part":1,"parts":1,"data":[]}'
    )


def test_an_error_lists_what_would_be_right() -> None:
    error = msgspec.json.decode(protocol.error("no", T0, 7))
    assert error["data"]["message"] == "no"
    assert error["data"]["available_services"][-1] == "all"
    assert error["data"]["supported_actions"] == ["subscribe", "unsubscribe", "get_status", "ping", "list"]
    assert (error["service"], error["type"], error["id"]) == ("system", "error", 7)


def test_a_command_has_defaults_and_ignores_what_it_does_not_know() -> None:
    assert read('{"action":"subscribe","service":"news","mode":"x"}') == Command(action="subscribe", service="news")
    assert Command(action="subscribe").rate == "1s"


def test_all_means_every_service_and_a_name_twice_means_once() -> None:
    assert Command(action="subscribe", service="all").wanted() == tuple(service.name for service in SERVICES)
    assert Command(action="subscribe", service="news", services=["news", "dex"]).wanted() == ("news", "dex")


@pytest.mark.parametrize(
    ("text", "frame", "words"),
    [
        ("", True, "not JSON"),
        ("hello", True, "not JSON"),
        ("[1]", True, "Expected `object`"),
        ("{}", False, "missing required field `action`"),
        ('{"action":"dance"}', False, "Invalid enum value 'dance'"),
        ('{"action":"subscribe","rate":"2s"}', False, "Invalid enum value '2s' - at `$.rate`"),
        ('{"action":"subscribe","symbols":"BTC"}', False, "Expected `array`, got `str` - at `$.symbols`"),
        ('{"action":"subscribe","id":{}}', False, "at `$.id`"),
    ],
)
def test_what_is_no_command_is_refused_with_the_field_that_is_wrong(text: str, frame: bool, words: str) -> None:
    with pytest.raises(BadCommand) as fault:
        read(text)
    assert fault.value.frame is frame
    assert words in str(fault.value)


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        read(text)
    except BadCommand:
        pass


@given(st.dictionaries(st.integers(0, 64), st.integers(0, 2**62), max_size=8))
def test_a_cursor_reads_back_for_its_own_service_only(positions: dict[int, int]) -> None:
    cursor = protocol.cursor_of("news", positions)
    assert protocol.read_cursor(cursor, "news") == positions
    assert protocol.read_cursor(cursor, "whale_tracking") is None


@pytest.mark.parametrize("cursor", ["", "%%%", "e30", "WzFd", "ü"])
def test_a_cursor_that_is_not_ours_is_none(cursor: str) -> None:
    assert protocol.read_cursor(cursor, "news") is None


def test_paths_are_served_in_both_spellings() -> None:
    assert (
        services_of("/ws/market-data")
        == services_of("/ws/market_data")
        == services_of("/ws/market-data/")
        == ("market_data",)
    )
    assert services_of("/ws/master") == ()
    assert services_of("/ws/nothing") is None
    assert all(services_of(path) is not None for path in PATHS)
