"""The mood of a text, -1 to 1, with language and confidence: a lexicon by default, a transformer where a path is configured.

The lexicon is VADER (Hutto and Gilbert 2014) with words of our trade. A transformer is any BERT-like classifier exported to
ONNX: a folder with model.onnx, vocab.txt (WordPiece) and config.json (`id2label`); it needs the package onnxruntime, which is
not a dependency, and is loaded when the first text is scored.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from services.common.errors import SettingsError

TRADE_WORDS = {
    "bullish": 2.5,
    "bearish": -2.5,
    "moon": 1.8,
    "mooning": 2.2,
    "rally": 1.9,
    "rallies": 1.9,
    "surge": 1.8,
    "surges": 1.8,
    "soar": 2.0,
    "soars": 2.0,
    "breakout": 1.5,
    "ath": 1.5,
    "adoption": 1.2,
    "upgrade": 1.2,
    "listing": 1.0,
    "partnership": 1.2,
    "inflows": 1.2,
    "accumulate": 1.0,
    "hodl": 0.8,
    "dump": -2.0,
    "dumps": -2.0,
    "dumping": -2.0,
    "plunge": -2.2,
    "plunges": -2.2,
    "tumble": -1.8,
    "tumbles": -1.8,
    "slump": -1.8,
    "selloff": -2.0,
    "liquidation": -1.5,
    "liquidations": -1.5,
    "liquidated": -1.8,
    "hack": -2.5,
    "hacked": -2.8,
    "exploit": -2.3,
    "exploited": -2.5,
    "rug": -2.2,
    "rugged": -2.8,
    "rugpull": -3.0,
    "scam": -3.0,
    "ponzi": -3.0,
    "depeg": -2.5,
    "depegs": -2.5,
    "insolvent": -2.8,
    "bankruptcy": -2.6,
    "delisting": -2.0,
    "delists": -2.0,
    "outflows": -1.2,
    "outage": -1.6,
    "halted": -1.4,
    "fud": -1.5,
    "rekt": -2.2,
    "lawsuit": -1.6,
    "sues": -1.6,
    "ban": -1.7,
    "bans": -1.7,
    "crackdown": -1.7,
    "phishing": -2.3,
    "drained": -2.3,
    "block": 0.0,
    "blocks": 0.0,
    "burn": 0.3,
    "burns": 0.3,
    "burned": 0.3,
    "dominance": 0.0,
    "gas": 0.0,
    "stake": 0.0,
    "mine": 0.0,
    "token": 0.0,
    "share": 0.0,
    "shares": 0.0,
    "trust": 0.0,
    "reserve": 0.0,
    "defi": 0.0,
}
"""What these words mean for prices, on VADER's scale of -4 to 4; several have no or another mood in plain speech."""
NEUTRAL = 0.05
"""Scores within this of 0 are neutral; VADER's own convention."""
LONGEST = 256
"""Pieces of a text that a transformer reads."""

_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset("the and of to in is for on with as by at from after its are will has that this over into".split()),
    "es": frozenset("el la los las de que y en un una por con para del se su al es como más".split()),
    "pt": frozenset("o a os as de que e em um uma por com para do da se no na mais é".split()),
    "fr": frozenset("le la les de des et en un une pour par avec sur du au est dans qui que plus".split()),
    "de": frozenset("der die das und in den von zu mit für auf im ist des ein eine nach bei dem nicht".split()),
    "it": frozenset("il lo la gli di che e in un una per con del della è sono si al da più".split()),
    "nl": frozenset("de het een en van in op te dat voor met is zijn naar bij aan om".split()),
    "tr": frozenset("ve bir bu için ile da de en çok daha olarak sonra yeni".split()),
    "id": frozenset("yang dan di ke dari untuk dengan ini itu pada akan adalah".split()),
}
_SCRIPTS = (
    ("ja", "HIRAGANA"),
    ("ja", "KATAKANA"),
    ("ko", "HANGUL"),
    ("zh", "CJK"),
    ("ru", "CYRILLIC"),
    ("ar", "ARABIC"),
    ("he", "HEBREW"),
    ("th", "THAI"),
    ("hi", "DEVANAGARI"),
    ("el", "GREEK"),
)


class Mood(msgspec.Struct, frozen=True):
    """The verdict on one text."""

    score: float
    """-1 to 1."""
    label: str
    """positive, neutral or negative."""
    confidence: float
    """0 to 1: how far this model can be trusted with this text."""
    language: str
    """ISO 639-1; und when it cannot be told."""
    model: str


class Scorer(Protocol):
    """Something that tells moods."""

    name: str

    def score(self, texts: Sequence[str]) -> list[Mood]:
        """One mood per text."""


def load(path: str | None) -> Scorer:
    """The transformer in the folder `path`, or the lexicon without one; SettingsError when the folder is no model."""
    return Transformer(Path(path)) if path else Lexicon()


def language(text: str) -> str:
    """The language of a text by its script and its commonest words; und when neither tells."""
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return "und"
    scripts = [unicodedata.name(c, "").split(" ")[0] for c in letters]
    for code, script in _SCRIPTS:
        # One kana in a hundred letters makes Han characters Japanese; any other script must be the larger part.
        least = 0.02 if code == "ja" else 0.4
        if scripts.count(script) > least * len(letters):
            return code
    words = re.findall(r"[^\W\d_]+", text.lower())
    hits = {code: sum(word in known for word in words) for code, known in _WORDS.items()}
    best = max(hits, key=lambda code: hits[code])
    if hits[best] == 0:
        return "en" if len(words) <= 6 and text.isascii() else "und"
    return best


def label_of(score: float) -> str:
    """positive, neutral or negative."""
    return "positive" if score >= NEUTRAL else "negative" if score <= -NEUTRAL else "neutral"


class Lexicon:
    """VADER with words of our trade; English only, and it says so by its confidence."""

    name = "lexicon"

    def __init__(self) -> None:
        self._analyzer: Any = None

    def score(self, texts: Sequence[str]) -> list[Mood]:
        """One mood per text."""
        if self._analyzer is None:
            from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

            self._analyzer = SentimentIntensityAnalyzer()
            self._analyzer.lexicon.update(TRADE_WORDS)
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Mood:
        spoken = language(text)
        score = float(self._analyzer.polarity_scores(text)["compound"])
        known = sum(word in self._analyzer.lexicon for word in re.findall(r"[\w']+", text.lower()))
        # Each word it knows adds to what it can say; of another language it knows words by accident.
        confidence = (1.0 - 0.5 ** (known + 0.3 * (known > 0))) * (
            0.85 if spoken == "en" else 0.2 if spoken == "und" else 0.1
        )
        return Mood(score, label_of(score), confidence, spoken, self.name)


class WordPiece:
    """BERT's tokenizer: words and punctuation, then the longest pieces that the vocabulary has."""

    def __init__(self, vocabulary: Sequence[str], lower: bool = True) -> None:
        self.ids = {piece: i for i, piece in enumerate(vocabulary)}
        self.lower = lower
        self.unknown, self.first, self.last = (self.ids.get(name, 0) for name in ("[UNK]", "[CLS]", "[SEP]"))

    def encode(self, text: str, longest: int = LONGEST) -> list[int]:
        """Ids of the pieces, between [CLS] and [SEP], cut to `longest`."""
        pieces = [piece for word in self._words(text) for piece in self._pieces(word)]
        return [self.first, *pieces[: longest - 2], self.last]

    def _words(self, text: str) -> list[str]:
        if self.lower:
            text = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
        words: list[str] = []
        open_word = False
        for c in text:
            if c.isspace() or unicodedata.category(c).startswith("C"):
                open_word = False
            elif unicodedata.category(c).startswith("P") or c in "$+<=>^`|~" or "\u4e00" <= c <= "\u9fff":
                words.append(c)
                open_word = False
            elif open_word:
                words[-1] += c
            else:
                words.append(c)
                open_word = True
        return words

    def _pieces(self, word: str) -> list[int]:
        found: list[int] = []
        start = 0
        while start < len(word):
            end = len(word)
            while end > start and ("##" * (start > 0) + word[start:end]) not in self.ids:
                end -= 1
            if end == start:
                return [self.unknown]
            found.append(self.ids["##" * (start > 0) + word[start:end]])
            start = end
        return found


class Transformer:
    """A classifier in ONNX; its folder is read when it is made, its weights when the first text comes."""

    def __init__(self, folder: Path) -> None:
        missing = [name for name in ("model.onnx", "vocab.txt", "config.json") if not (folder / name).is_file()]
        if missing:
            raise SettingsError(
                "sentiment_model",
                "a folder with model.onnx, vocab.txt and config.json",
                f"{folder.name} without {', '.join(missing)}",
                "export the model with: optimum-cli export onnx",
            )
        config = msgspec.json.decode((folder / "config.json").read_bytes())
        labels = {int(k): str(v).lower() for k, v in config.get("id2label", {}).items()}
        self.signs = [_sign(labels.get(i, "")) for i in range(len(labels))]
        if 1 not in self.signs or -1 not in self.signs:
            raise SettingsError(
                "sentiment_model",
                "labels with a positive and a negative one in config.json",
                str(sorted(labels.values())),
                "set id2label",
            )
        self.name = folder.name
        self.languages = config.get("languages", ["en"])
        self.tokenizer = WordPiece(
            (folder / "vocab.txt").read_text(encoding="utf-8").splitlines(), bool(config.get("do_lower_case", True))
        )
        self.longest = min(int(config.get("max_position_embeddings", LONGEST)), LONGEST)
        self._folder = folder
        self._session: Any = None

    def score(self, texts: Sequence[str]) -> list[Mood]:
        """One mood per text, in one batch; SettingsError when onnxruntime is not installed."""
        import numpy as np

        if not texts:
            return []
        session = self._open()
        encoded = [self.tokenizer.encode(text, self.longest) for text in texts]
        width = max(map(len, encoded))
        ids = np.array([row + [0] * (width - len(row)) for row in encoded], np.int64)
        given = {
            "input_ids": ids,
            "attention_mask": np.array([[1] * len(row) + [0] * (width - len(row)) for row in encoded], np.int64),
            "token_type_ids": np.zeros_like(ids),
        }
        wanted = {one.name for one in session.get_inputs()}
        logits = np.asarray(
            session.run(None, {name: array for name, array in given.items() if name in wanted})[0], np.float64
        )
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        laws = odds / odds.sum(axis=1, keepdims=True)
        moods = []
        for text, law in zip(texts, laws, strict=True):
            score = float(sum(sign * p for sign, p in zip(self.signs, law, strict=True)))
            spoken = language(text)
            moods.append(
                Mood(
                    score,
                    label_of(score),
                    float(law.max()) * (1.0 if spoken in self.languages else 0.3),
                    spoken,
                    self.name,
                )
            )
        return moods

    def _open(self) -> Any:
        if self._session is None:
            try:
                import onnxruntime
            except ImportError as fault:
                raise SettingsError(
                    "sentiment_model",
                    "the package onnxruntime",
                    "nothing",
                    "install onnxruntime, or leave the path empty for the lexicon",
                ) from fault
            self._session = onnxruntime.InferenceSession(
                str(self._folder / "model.onnx"), providers=["CPUExecutionProvider"]
            )
        return self._session


def _sign(label: str) -> int:
    return 1 if label.startswith(("pos", "bull")) else -1 if label.startswith(("neg", "bear")) else 0
