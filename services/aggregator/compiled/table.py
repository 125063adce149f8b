"""The compiled functions, in the order in which they call each other, with their types; names are unique among them."""

from __future__ import annotations

from typing import NamedTuple

TYPES = {
    "i": "int64",
    "u": "uint64",
    "f": "float64",
    "b": "boolean",
    "v": "float64[::1]",
    "t": "float64[:, ::1]",
    "w": "int64[::1]",
    "o": "uint8[::1]",
    "p": "float32[:, ::1]",
    "r": "int16[:, :, ::1]",
    "-": "void",
}
"""Letters of signatures -> types of numba."""

FUSION = "services.aggregator.fusion"
KERNELS = "services.aggregator.kernels"


class Compiled(NamedTuple):
    """One function: where it stands, and the letters of its result and its arguments."""

    module: str
    name: str
    result: str
    arguments: str


FUNCTIONS = (
    # numbers
    Compiled(f"{KERNELS}.digits", "write_text", "i", "oiii"),
    Compiled(f"{KERNELS}.digits", "eight", "u", "u"),
    Compiled(f"{KERNELS}.digits", "places", "i", "u"),
    Compiled(f"{KERNELS}.digits", "write_whole", "i", "oiu"),
    Compiled(f"{KERNELS}.digits", "write_int", "i", "oii"),
    Compiled(f"{KERNELS}.digits", "write_decimal", "i", "oiui"),
    Compiled(f"{KERNELS}.digits", "magnitude", "i", "f"),
    Compiled(f"{KERNELS}.digits", "odd_product", "u", "uuu"),
    Compiled(f"{KERNELS}.digits", "shortest", "u", "uiib"),
    Compiled(f"{KERNELS}.digits", "write_float", "i", "oif"),
    Compiled(f"{KERNELS}.digits", "write_digits", "i", "oif"),
    Compiled(f"{KERNELS}.digits", "rounded_share", "f", "f"),
    Compiled(f"{KERNELS}.digits", "write_share", "i", "oif"),
    Compiled(f"{KERNELS}.digits", "all_digits", "b", "u"),
    Compiled(f"{KERNELS}.digits", "of_eight", "u", "u"),
    Compiled(f"{KERNELS}.digits", "read_int", "i", "oii"),
    Compiled(f"{KERNELS}.digits", "nearest", "f", "ui"),
    Compiled(f"{KERNELS}.digits", "read_exponent", "i", "oii"),
    Compiled(f"{KERNELS}.digits", "read_float", "f", "oii"),
    # memory: blocks and statements
    Compiled(f"{KERNELS}.blocks", "size_of", "i", "i"),
    Compiled(f"{KERNELS}.blocks", "room_in", "i", "i"),
    Compiled(f"{KERNELS}.blocks", "alloc", "i", "ii"),
    Compiled(f"{KERNELS}.blocks", "release", "-", "iii"),
    Compiled(f"{KERNELS}.blocks", "grown", "i", "i"),
    Compiled(f"{KERNELS}.blocks", "moved", "i", "iiiii"),
    Compiled(f"{KERNELS}.blocks", "statement_words", "i", "ii"),
    Compiled(f"{KERNELS}.blocks", "find_statement", "i", "iii"),
    Compiled(f"{KERNELS}.blocks", "said", "i", "iii"),
    Compiled(f"{KERNELS}.blocks", "add_statement", "i", "iii"),
    Compiled(f"{KERNELS}.blocks", "drop_statement", "-", "iii"),
    Compiled(f"{KERNELS}.blocks", "bar_words", "i", "i"),
    Compiled(f"{KERNELS}.blocks", "free_bar", "-", "ii"),
    Compiled(f"{KERNELS}.blocks", "entry_words", "i", "i"),
    Compiled(f"{KERNELS}.blocks", "free_lessons", "-", "ii"),
    Compiled(f"{KERNELS}.blocks", "free_parts", "i", "ii"),
    # raw events by their templates
    Compiled(f"{KERNELS}.scan", "string_end", "i", "ii"),
    Compiled(f"{KERNELS}.scan", "digits_end", "i", "ii"),
    Compiled(f"{KERNELS}.scan", "number_end", "i", "ii"),
    Compiled(f"{KERNELS}.scan", "is_ascii", "b", "ii"),
    Compiled(f"{KERNELS}.scan", "hash_run", "i", "iii"),
    Compiled(f"{KERNELS}.scan", "same_text", "b", "iii"),
    Compiled(f"{KERNELS}.scan", "walk", "i", "iiii"),
    Compiled(f"{KERNELS}.scan", "fits", "b", "iiiii"),
    Compiled(f"{KERNELS}.scan", "scan", "i", "iiiii"),
    Compiled(f"{KERNELS}.scan", "crc_of", "i", "ii"),
    Compiled(f"{KERNELS}.scan", "whole", "b", "ii"),
    Compiled(f"{KERNELS}.scan", "read", "i", "iiiii"),
    # the wire: Kafka's record batches
    Compiled(f"{KERNELS}.batch", "varint_size", "i", "i"),
    Compiled(f"{KERNELS}.batch", "write_varint", "i", "oii"),
    Compiled(f"{KERNELS}.batch", "batch_rows", "i", "iiiiiiii"),
    Compiled(f"{KERNELS}.batch", "varint_end", "i", "oii"),
    Compiled(f"{KERNELS}.batch", "varint", "i", "oii"),
    Compiled(f"{KERNELS}.batch", "unpack_rows", "i", "iiiiiii"),
    # bars
    Compiled(f"{KERNELS}.names", "write_key", "i", "oii"),
    Compiled(f"{KERNELS}.trades", "remember", "-", "ii"),
    Compiled(f"{KERNELS}.trades", "told", "i", "iiii"),
    Compiled(f"{KERNELS}.bars", "higher", "f", "ff"),
    Compiled(f"{KERNELS}.bars", "lower", "f", "ff"),
    Compiled(f"{KERNELS}.bars", "voice_new", "-", "iiiffi"),
    Compiled(f"{KERNELS}.bars", "voice_add", "-", "iiffi"),
    Compiled(f"{KERNELS}.bars", "bar_link", "-", "iii"),
    Compiled(f"{KERNELS}.bars", "bar_new", "i", "iiiiii"),
    Compiled(f"{KERNELS}.bars", "bar_grow", "i", "iiii"),
    Compiled(f"{KERNELS}.bars", "bar_find", "i", "ii"),
    Compiled(f"{KERNELS}.bars", "bar_heard", "i", "i"),
    Compiled(f"{KERNELS}.bars", "middle", "f", "iiii"),
    Compiled(f"{KERNELS}.bars", "fuse_bar", "-", "iii"),
    Compiled(f"{KERNELS}.bars", "bar_fuse", "i", "iiii"),
    Compiled(f"{KERNELS}.bars", "held_roll", "i", "iii"),
    Compiled(f"{KERNELS}.bars", "bar_roll", "i", "iiiii"),
    Compiled(f"{KERNELS}.bars", "merge", "-", "iiii"),
    Compiled(f"{KERNELS}.bars", "bar_settle", "-", "iii"),
    Compiled(f"{KERNELS}.bars", "bar_add", "i", "iiiiffiii"),
    Compiled(f"{KERNELS}.bars", "free_bars", "-", "ii"),
    # entities by key, and what is noted of many at once
    Compiled(f"{KERNELS}.index", "key_hash", "i", "ii"),
    Compiled(f"{KERNELS}.index", "same_bytes", "b", "iii"),
    Compiled(f"{KERNELS}.index", "find_entity", "i", "iii"),
    Compiled(f"{KERNELS}.index", "put_entity", "-", "ii"),
    Compiled(f"{KERNELS}.index", "take_entity", "i", "ii"),
    Compiled(f"{KERNELS}.index", "blank_entity", "-", "i"),
    Compiled(f"{KERNELS}.index", "starts_with", "b", "iiii"),
    Compiled(f"{KERNELS}.index", "quote_named", "i", "iii"),
    Compiled(f"{KERNELS}.index", "new_entity", "i", "iii"),
    Compiled(f"{KERNELS}.index", "grow_index", "i", "iii"),
    Compiled(f"{KERNELS}.lives", "reset_entity", "i", "ii"),
    Compiled(f"{KERNELS}.lives", "drop_entity", "i", "ii"),
    Compiled(f"{KERNELS}.trim", "covers", "b", "iii"),
    Compiled(f"{KERNELS}.trim", "leave_agreed", "-", "iii"),
    Compiled(f"{KERNELS}.trim", "trim", "i", "ii"),
    Compiled(f"{KERNELS}.send", "send_rows", "i", "iiii"),
    Compiled(f"{KERNELS}.send", "mark_rows", "i", "iiii"),
    # fusion
    Compiled(f"{FUSION}.voices", "weigh", "-", "ivttp"),
    Compiled(f"{FUSION}.flags", "mark", "i", "iivtvvttfffffbf"),
    Compiled(f"{FUSION}.kernel", "answer", "-", "ivtvvttpfbfff"),
    Compiled(f"{FUSION}.lags", "at_time", "f", "tifff"),
    Compiled(f"{FUSION}.lags", "follow_lag", "-", "iiiffffffftrtf"),
    Compiled(f"{FUSION}.voices", "follow_pairs", "-", "iivtvtrtpbff"),
    Compiled(f"{FUSION}.learning", "middle_of", "f", "iivtttfb"),
    Compiled(f"{FUSION}.learning", "learn", "-", "ivtvvttrtpf"),
    Compiled(f"{FUSION}.lags", "advance", "-", "witv"),
    Compiled(f"{FUSION}.voices", "advance_pairs", "-", "pi"),
    Compiled(f"{FUSION}.rows", "rounded", "f", "f"),
    Compiled(f"{FUSION}.rows", "judge", "-", "iiittvttff"),
    Compiled(f"{FUSION}.rows", "finish", "-", "iiittvtvtf"),
    Compiled(f"{FUSION}.rows", "mostly_zero", "-", "iiitvt"),
    Compiled(f"{FUSION}.rows", "alone", "b", "iifffitttf"),
    Compiled(f"{FUSION}.rows", "answer_window", "-", "iiiiifitttpi"),
    Compiled(f"{FUSION}.rows", "answer_rows", "-", "iiiiiiii"),
    Compiled(f"{FUSION}.rows", "advance_sources", "-", "iiiiii"),
    Compiled(f"{FUSION}.rows", "advance_voices", "-", "ii"),
    # windows of an entity, its record, what they teach
    Compiled(f"{KERNELS}.gather", "windows_of", "i", "i"),
    Compiled(f"{KERNELS}.gather", "listed", "i", "i"),
    Compiled(f"{KERNELS}.gather", "arrange", "i", "ii"),
    Compiled(f"{KERNELS}.gather", "spoke", "b", "ii"),
    Compiled(f"{KERNELS}.gather", "put_aside", "b", "iifii"),
    Compiled(f"{KERNELS}.gather", "no_rate", "i", "iii"),
    Compiled(f"{KERNELS}.gather", "hear", "i", "ii"),
    Compiled(f"{KERNELS}.gather", "far_apart", "b", "if"),
    Compiled(f"{KERNELS}.gather", "peers", "i", "i"),
    Compiled(f"{KERNELS}.gather", "gather", "i", "iif"),
    Compiled(f"{KERNELS}.fuse", "lesson_of", "i", "ii"),
    Compiled(f"{KERNELS}.fuse", "find_slot", "i", "iiii"),
    Compiled(f"{KERNELS}.fuse", "row_of", "i", "iii"),
    Compiled(f"{KERNELS}.fuse", "fill_window", "i", "iiii"),
    Compiled(f"{KERNELS}.fuse", "fuse", "f", "iiiiii"),
    Compiled(f"{KERNELS}.teach", "closes", "b", "iiii"),
    Compiled(f"{KERNELS}.teach", "agree", "-", "iii"),
    Compiled(f"{KERNELS}.teach", "teach", "i", "iii"),
    Compiled(f"{KERNELS}.pieces", "put", "i", "iiiii"),
    Compiled(f"{KERNELS}.pieces", "put_text", "i", "iiii"),
    Compiled(f"{KERNELS}.pieces", "put_share", "i", "iiiiiif"),
    Compiled(f"{KERNELS}.pieces", "put_quality", "i", "iiifffff"),
    Compiled(f"{KERNELS}.record", "put_provider", "i", "iiii"),
    Compiled(f"{KERNELS}.record", "put_why", "i", "iii"),
    Compiled(f"{KERNELS}.record", "put_claims", "i", "iiiiiib"),
    Compiled(f"{KERNELS}.record", "put_asides", "i", "iiiii"),
    Compiled(f"{KERNELS}.record", "newest_of", "i", "i"),
    Compiled(f"{KERNELS}.record", "tellable", "b", "i"),
    Compiled(f"{KERNELS}.record", "put_metric", "i", "iiiiii"),
    Compiled(f"{KERNELS}.record", "room_for", "i", "ii"),
    Compiled(f"{KERNELS}.record", "write_record", "i", "iiiii"),
    Compiled(f"{KERNELS}.record", "render_rows", "i", "iiiiii"),
    # bars that are sent
    Compiled(f"{KERNELS}.candle", "least_real", "i", "ii"),
    Compiled(f"{KERNELS}.candle", "put_name", "i", "iiiiii"),
    Compiled(f"{KERNELS}.candle", "put_candle", "i", "iiiibiiiii"),
    Compiled(f"{KERNELS}.candle", "candle_rows", "i", "iiiiii"),
    Compiled(f"{KERNELS}.closing", "put_row", "i", "ii"),
    Compiled(f"{KERNELS}.closing", "show_rows", "i", "iiiiii"),
    Compiled(f"{KERNELS}.closing", "has_roll", "b", "iii"),
    Compiled(f"{KERNELS}.closing", "sweep_rows", "i", "iiiiii"),
    Compiled(f"{KERNELS}.closing", "open_rows", "i", "iiiii"),
)

LAYOUTS = (f"{FUSION}.layout", f"{KERNELS}.layout", f"{KERNELS}.powers", "services.aggregator.compiled.numbers")
"""Where the constants of the functions stand."""

ENTRIES = ("answer_rows", "advance_sources", "advance_voices", "batch_rows", "unpack_rows", "find_entity", "new_entity", "take_entity",
    "grow_index", "trim", "send_rows", "mark_rows", "render_rows",
    "find_statement", "add_statement", "drop_statement", "reset_entity", "drop_entity",
    "told", "put_row", "candle_rows", "show_rows", "sweep_rows", "open_rows",
)  # fmt: skip
"""What is called from Python: integers only."""


def arguments_of(name: str) -> int:
    """How many integers an entry takes."""
    return next(len(row.arguments) for row in FUNCTIONS if row.name == name)
