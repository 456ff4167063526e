"""The preview shows every token once, says what is learned, and lets no text out of its place."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tunesmith.evaluate.preview import render_preview
from tunesmith.models.mask import Encoded, cut, encode_completion

NASTY = "<script>alert(1)</script>&\"'\x1b[31m\u202e\u200b\t\r\x00"


@pytest.fixture(scope="module")
def tokenizer():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    made.add_special_tokens({"eos_token": "</s>"})
    return made


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.shown, self.state = [], {"learned": "", "context": "", "cut": ""}, None

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        named = dict(attributes)
        self.state = named["class"].split()[0] if "title" in named else None

    def handle_endtag(self, tag):
        self.state = None

    def handle_data(self, data):
        if self.state:
            self.shown[self.state] += data


def test_plain(tokenizer):
    shown = render_preview(encode_completion(tokenizer, "Hi é\n", "Yo 😀"), tokenizer, style="plain")
    assert shown == (
        "14 tokens: 8 learned, 6 context, not learned\n"
        "context H|i|·|é|⏎\n"
        "learned Y|o|·|😀|</s>\n"
    )  # fmt: skip


def test_what_was_cut_is_shown(tokenizer):
    encoded = encode_completion(tokenizer, "a long question", "yes")
    _, what = cut(encoded, 8)
    shown = render_preview(encoded, tokenizer, cut=what, style="plain")
    assert shown.splitlines() == [
        "19 tokens: 4 learned, 4 context, not learned, 11 cut away",
        "cut     a|·|l|o|n|g|·|q|u|e|s",
        "context t|i|o|n",
        "learned y|e|s|</s>",
    ]
    page = Page()
    page.feed(render_preview(encoded, tokenizer, cut=what, style="html"))
    assert page.shown == {"cut": "a·long·ques", "context": "tion", "learned": "yes</s>"}


def test_html_is_escaped_and_needs_nothing_else(tokenizer):
    shown = render_preview(encode_completion(tokenizer, NASTY, NASTY + "\n"), tokenizer, style="html")
    page = Page()
    page.feed(shown)
    assert set(page.tags) == {"div", "style", "p", "span"}
    wanted = "<script>alert(1)</script>&\"'␛[31m\\u{202e}\\u{200b}⇥␍␀"
    assert page.shown == {"context": wanted, "learned": wanted + "⏎\n</s>".replace("\n", ""), "cut": ""}
    assert not re.search(r"https?:|@import|url\(", shown)


def test_the_terminal_gets_no_control_character_of_the_text(tokenizer):
    shown = render_preview(encode_completion(tokenizer, NASTY, NASTY), tokenizer, style="ansi")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "learned" in plain.splitlines()[0]
    assert "␛[31m" in plain
    assert all(letter.isprintable() or letter == "\n" for letter in plain)
    assert shown.count("\x1b[0m") == len(re.findall(r"\x1b\[(?!0m)", shown))


def test_bytes_that_are_no_character_are_shown_as_tokens(tokenizer):
    ids = np.array(tokenizer("é😀").input_ids[1:-1], dtype=np.int32)
    encoded = Encoded(ids, np.zeros(len(ids), dtype=bool), ())
    assert render_preview(encoded, tokenizer, style="plain").splitlines()[1] == "context ©|ð|Ł|ĺ"


def test_sentencepiece_spaces(shared_data):
    tokenizer = AutoTokenizer.from_pretrained(shared_data / "w_stories260k" / "hf")
    encoded = encode_completion(tokenizer, "Once upon", " a 😀 day")
    lines = render_preview(encoded, tokenizer, style="plain").splitlines()
    text = "".join(line[8:].replace("|", "") for line in lines[1:])
    assert text == "<s>·Once·upon·a·😀·day</s>"
