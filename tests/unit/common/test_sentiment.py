"""Moods of texts: by lexicon, and by a small transformer that the test makes itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import SettingsError
from services.common.sentiment import Lexicon, Transformer, WordPiece, language, load

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "coin", "up", "down", "##s", "$", "very"]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Bitcoin soars to a new ATH as inflows surge", "positive"),
        ("Exchange hacked, users' funds drained in exploit", "negative"),
        ("Token is a rugpull and a scam", "negative"),
        ("The block height is 840000", "neutral"),
    ],
)
def test_the_lexicon_knows_the_words_of_the_trade(text: str, label: str) -> None:
    (mood,) = Lexicon().score([text])
    assert (mood.label, mood.language, mood.model) == (label, "en", "lexicon")
    assert -1.0 <= mood.score <= 1.0


def test_the_lexicon_is_not_sure_of_what_it_cannot_read() -> None:
    known, foreign, nothing = Lexicon().score(
        ["Great rally for the coin", "El precio de la moneda sube y el mercado con fuerza", "xyzzy"]
    )
    assert known.confidence > 0.6 > 0.2 > foreign.confidence
    assert nothing.confidence == 0.0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The price of the coin is rising", "en"),
        ("El precio de la moneda sube", "es"),
        ("Der Preis ist nach dem Crash gestiegen", "de"),
        ("Le prix de la monnaie est en hausse", "fr"),
        ("Цена биткоина выросла", "ru"),
        ("比特币价格上涨", "zh"),
        ("ビットコインの価格", "ja"),
        ("비트코인 가격 상승", "ko"),
        ("12 345 !!", "und"),
        ("BTC moon", "en"),
    ],
)
def test_a_language_is_told_by_script_and_common_words(text: str, code: str) -> None:
    assert language(text) == code


def test_words_become_the_longest_known_pieces() -> None:
    pieces = WordPiece(VOCABULARY)
    assert pieces.encode("Coins $up, véry") == [2, 4, 7, 8, 5, 1, 9, 3]
    assert pieces.encode("coin " * 50, longest=4) == [2, 4, 4, 3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier that adds a number per piece: `up` is positive, `down` negative."""
    onnx = pytest.importorskip("onnx", reason="makes the model")
    from onnx import TensorProto, helper, numpy_helper

    table = np.zeros((len(VOCABULARY), 3), np.float32)
    table[VOCABULARY.index("up"), 2] = 3.0
    table[VOCABULARY.index("down"), 0] = 3.0
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "axis"], ["wide"]),
            helper.make_node("Mul", ["rows", "wide"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "one"], ["logits"], keepdims=0),
        ],
        "moods",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "width"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([2], np.int64), "axis"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    home = tmp_path / "tiny-moods"
    home.mkdir()
    onnx.save(model, str(home / "model.onnx"))
    (home / "vocab.txt").write_text("\n".join(VOCABULARY))
    (home / "config.json").write_text(json.dumps({"id2label": {"0": "Bearish", "1": "neutral", "2": "Bullish"}}))
    return home


def test_a_transformer_in_a_folder_is_loaded_and_asked(folder: Path) -> None:
    pytest.importorskip("onnxruntime", reason="runs the model")
    scorer = load(str(folder))
    up, down, none = scorer.score(["the coin is up", "the coin is down very down", "coin"])
    e = math.exp(3.0)
    assert up.score == pytest.approx((e - 1) / (e + 2))
    assert (up.label, up.language, up.model) == ("positive", "en", "tiny-moods")
    assert up.confidence == pytest.approx(e / (e + 2))
    assert (down.label, none.label, none.score) == ("negative", "neutral", 0.0)
    assert scorer.score([]) == []


def test_without_a_path_it_is_the_lexicon() -> None:
    assert isinstance(load(None), Lexicon)
    assert isinstance(load(""), Lexicon)


def test_a_folder_that_is_no_model_says_what_is_missing(folder: Path) -> None:
    (folder / "vocab.txt").unlink()
    with pytest.raises(
        SettingsError,
        match=r"sentiment_model: expected a folder with model.onnx, vocab.txt and config.json, got tiny-moods without vocab.txt",
    ):
        Transformer(folder)


def test_a_model_without_moods_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "spam", "1": "ham"}}))
    with pytest.raises(SettingsError, match="set id2label"):
        Transformer(folder)
