"""Conversations: what the model is given to read, what is kept, and the terminal around it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from tunesmith.cli import chat as terminal
from tunesmith.cli.chat import chat_session
from tunesmith.core.errors import DataError, FolderError, ModelError, OptionError
from tunesmith.engine.generate import Sampling
from tunesmith.families.generative.session import ChatSession

WORDS = ["<s>", "</s>", "<unk>", "<user>", "<bot>", "<system>", *(f"w{i}" for i in range(50))]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}<system> {% elif message['role'] == 'user' %}<user> "
    "{% else %}<bot> {% endif %}"
    "{{ message['content'] }} {% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
)
CONTEXT = 40


@pytest.fixture
def tokenizer() -> Any:
    """Words w0 to w49; it begins every text with <s>, as Llama's does."""
    plain = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    plain.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    made = PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<user>", "<bot>", "<system>"],
    )  # fmt: skip
    made.chat_template = TEMPLATE
    return made


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                    num_attention_heads=4, max_position_embeddings=CONTEXT, initializer_range=0.3,
                    bos_token_id=0, eos_token_id=1)
    )  # fmt: skip


class Reader(ChatSession):
    """Remembers what the model was given to read, as text."""

    def __init__(self, *arguments: Any, **words: Any):
        super().__init__(*arguments, **words)
        self.read: list[str] = []

    def _prompt(self) -> Any:
        ids = super()._prompt()
        self.read.append(self._tokenizer.decode(ids))
        return ids


@pytest.fixture
def talk(model: Any, tokenizer: Any) -> Callable[..., tuple[Reader, list[str]]]:
    def make(**words: Any) -> tuple[Reader, list[str]]:
        notes: list[str] = []
        sampling = Sampling(**{"max_new_tokens": 4, **words.pop("sampling", {})})
        return Reader(model, tokenizer, sampling=sampling, notify=notes.append, **words), notes

    return make


def answer(session: ChatSession, text: str) -> str:
    return "".join(session.reply(text))


def test_the_model_reads_the_conversation_through_its_template(talk: Any) -> None:
    session, notes = talk(system="w9")
    first = answer(session, "w1 w2")
    second = answer(session, "w3")
    assert session.read[0] == "<s> <system> w9 <user> w1 w2 <bot>"  # begins once
    assert session.read[1] == f"<s> <system> w9 <user> w1 w2 <bot> {first.strip()} <user> w3 <bot>"
    assert [message["content"] for message in session.messages] == ["w1 w2", first.strip(), "w3", second.strip()]
    assert notes[0].startswith("The answer was cut after 4 tokens")


def test_reset_system_and_set_change_what_comes_next(talk: Any) -> None:
    session, _ = talk()
    answer(session, "w1")
    assert "forgotten" in session.command("/reset")
    session.command("/system w7 w8")
    session.command("/set max_new_tokens=2")
    assert len(answer(session, "w2").split()) <= 2
    assert session.read[-1] == "<s> <system> w7 w8 <user> w2 <bot>"
    session.command("/system")
    answer(session, "w3")
    assert "<system>" not in session.read[-1]
    assert session.command("/set stop=w5, w6") == "stop = ['w5, w6']"
    assert session.command('/set stop=["w5", "w6"]') == "stop = ['w5', 'w6']"
    assert session.command("/set temperature = 0.5") == "temperature = 0.5"
    assert session.command("/set seed=3") == "seed = 3"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/rest", "Did you mean 'reset'"),
        ("/set temperature", "expected NAME=VALUE"),
        ("/set heat=1", "Known: "),
        ("/set temprature=1", "Did you mean 'temperature'"),
        ("/set temperature=-1", "'temperature': got -1"),
        ("/set top_p=high", "'top_p': got 'high'"),
        ("/save", "no file name"),
        ("/save a.jsonl", "no conversation yet"),
    ],
)
def test_mistaken_commands_are_explained_and_change_nothing(talk: Any, line: str, message: str) -> None:
    session, _ = talk()
    before = session.sampling
    with pytest.raises(OptionError, match=message):
        session.command(line)
    assert session.sampling == before
    assert session.open


@pytest.mark.parametrize("text", ["/etc/hosts is what?", "/ is a path", "w1 /reset", "/Reset"])
def test_texts_with_a_slash_are_no_commands(talk: Any, text: str) -> None:
    assert talk()[0].command(text) is None


def test_saved_conversations_can_be_trained_on(talk: Any, in_tmp: Path) -> None:
    session, _ = talk(system="w9")
    answer(session, "w1")
    session.command("/save talks.jsonl")
    session.command("/reset")
    answer(session, "w2")
    session.command("/save talks.jsonl")
    rows = [json.loads(line) for line in (in_tmp / "talks.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [[message["role"] for message in row["messages"]] for row in rows] == [["system", "user", "assistant"]] * 2
    assert [row["messages"][1]["content"] for row in rows] == ["w1", "w2"]
    with pytest.raises(FolderError, match="can not be written"):
        session.command("/save missing/talks.jsonl")


def test_a_long_conversation_forgets_its_oldest_exchanges_and_says_so(talk: Any) -> None:
    session, notes = talk(system="w9")
    for number in range(6):
        answer(session, f"w{number} w20 w21 w22 w23")
    last = session.read[-1].split()
    assert last[:3] == ["<s>", "<system>", "w9"]
    assert "w0" not in last
    assert last.count("<user>") >= 2
    assert len(last) <= CONTEXT - 4
    assert any("forgot the first 2 messages" in note for note in notes)
    assert len(session.messages) == 12, "/save still has all of it"
    session.command("/reset")
    answer(session, "w1")
    assert session.read[-1] == "<s> <system> w9 <user> w1 <bot>"


def test_a_text_that_is_too_long_by_itself_is_refused_and_not_kept(talk: Any) -> None:
    session, _ = talk()
    answer(session, "w1")
    with pytest.raises(DataError, match="too long"):
        answer(session, "w2 " * CONTEXT)
    assert len(session.messages) == 2
    assert answer(session, "w3")


def test_a_template_that_refuses_is_explained(talk: Any, tokenizer: Any) -> None:
    tokenizer.chat_template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}w1"
    session, _ = talk(system="w9")
    with pytest.raises(ModelError, match=r"no system[\s\S]*/system without a text"):
        answer(session, "w1")
    assert session.messages == []


def test_an_interrupted_answer_keeps_what_was_said(talk: Any) -> None:
    session, _ = talk()
    pieces = session.reply("w1")
    said = next(pieces)
    pieces.close()
    assert session.messages == [{"role": "user", "content": "w1"}, {"role": "assistant", "content": said.strip()}]


def test_an_answer_without_a_word_is_not_kept(talk: Any, model: Any) -> None:
    session, notes = talk(stop_ids=range(len(WORDS)))
    assert answer(session, "w1") == ""
    assert session.messages == []
    assert notes == ["The model ended its answer without a word."]


def test_the_encoder_of_training_is_used_where_it_is_known(talk: Any) -> None:
    session, _ = talk(encode=lambda messages: [10 + len(messages)] * 3)
    answer(session, "w1")
    answer(session, "w2")
    assert session.read == [" ".join([WORDS[11]] * 3), " ".join([WORDS[13]] * 3)]


def test_a_seed_gives_the_same_conversation(talk: Any) -> None:
    sessions = [talk(sampling={"temperature": 1.5, "seed": 4})[0] for _ in range(2)]
    assert answer(sessions[0], "w1 w2") == answer(sessions[1], "w1 w2")


def test_a_model_without_a_template_reads_every_text_by_itself(talk: Any, tokenizer: Any, in_tmp: Path) -> None:
    tokenizer.chat_template = None
    session, _ = talk()
    answer(session, "w1 w2")
    answer(session, "w3")
    assert session.read == ["<s> w1 w2", "<s> w3"]
    with pytest.raises(OptionError, match="one text at a time"):
        session.command("/system w1")
    session.command("/save talks.jsonl")
    assert len((in_tmp / "talks.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_an_encoder_decoder_reads_every_text_by_itself(tokenizer: Any) -> None:
    torch.manual_seed(1)
    config = T5Config(vocab_size=len(WORDS), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
                      decoder_start_token_id=0, eos_token_id=1, pad_token_id=0)  # fmt: skip
    session = Reader(T5ForConditionalGeneration(config), tokenizer, sampling=Sampling(max_new_tokens=3))
    answer(session, "w1")
    answer(session, "w2 w3")
    assert session.read == ["<s> w1", "<s> w2 w3"]


def test_a_trained_model_tells_a_story(shared_data: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    folder = shared_data / "w_stories260k" / "hf"
    logging.disable_progress_bar()
    loaded = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    session = ChatSession(*loaded, sampling=Sampling(max_new_tokens=30))
    assert answer(session, "Once upon a time").startswith(", there was a little girl named Lily.")


# --- The terminal -----------------------------------------------------------------------------------


class Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


def piped(session: ChatSession, lines: str) -> tuple[str, str]:
    out, errors = io.StringIO(), io.StringIO()
    chat_session(session, stdin=io.StringIO(lines), stdout=out, stderr=errors)
    return out.getvalue(), errors.getvalue()


def test_piped_lines_are_answered_one_by_one(talk: Any) -> None:
    expected = talk()[0]
    answers = [answer(expected, "w1"), answer(expected, "w2")]
    out, errors = piped(talk()[0], "w1\n\n  \nw2\n")
    assert out == "".join(f"{said}\n" for said in answers)
    assert errors.count("cut after 4 tokens") == 2


def test_mistakes_do_not_end_a_conversation(talk: Any) -> None:
    out, errors = piped(talk()[0], f"/nonsense\n/set seed=1\n{'w2 ' * CONTEXT}\nw1\n/quit\nw2\n")
    assert "no command /nonsense" in errors
    assert "too long" in errors
    assert len(out.splitlines()) == 1, "after /quit nothing is asked"


def test_control_characters_do_not_reach_the_terminal(talk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = talk()[0]
    monkeypatch.setattr(
        session, "reply", lambda text: (piece for piece in ["a\x1b[2J", "b\t:smile:\n", "[red]c\x07\x9b"])
    )
    assert piped(session, "w1\n")[0] == "a\\x1b[2Jb\t:smile:\n[red]c\\x07\\x9b\n"


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`keyboard(session, lines...)`: what a terminal shows; a line may be an exception to raise."""

    def use(session: ChatSession, *lines: str | type[BaseException]) -> str:
        left = iter([*lines, EOFError])

        def typed(console: Any, prompt: str) -> str:
            line = next(left)
            if isinstance(line, str):
                return line
            raise line

        monkeypatch.setattr("rich.console.Console.input", typed)
        out = io.StringIO()
        chat_session(session, stdin=Keyboard(), stdout=out, stderr=out)
        return out.getvalue()

    return use


def test_interrupting_stops_the_answer_and_not_the_program(talk: Any, keyboard: Any, monkeypatch: Any) -> None:
    session = talk(sampling={"max_new_tokens": 20})[0]
    shown: list[str] = []

    def interrupted(text: str) -> str:
        shown.append(text)
        if len(shown) == 3:
            raise KeyboardInterrupt
        return text

    monkeypatch.setattr(terminal, "visible", interrupted)
    out = keyboard(session, KeyboardInterrupt, "w1", "/set max_new_tokens=2", "w2")
    assert "Ctrl-D leaves." in out
    assert "(stopped)" in out
    assert session.messages[1]["content"] == "".join(shown[:3]).strip()
    assert [message["role"] for message in session.messages] == ["user", "assistant"] * 2


def test_an_interrupt_inside_the_model_is_one_too(talk: Any, keyboard: Any, model: Any) -> None:
    session = talk()[0]
    calls: list[int] = []

    def interrupt(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    handle = model.register_forward_pre_hook(interrupt)
    try:
        out = keyboard(session, "w1", "w2")
    finally:
        handle.remove()
    assert out.count("(stopped)") == 1
    assert len(session.messages) == 4


def test_help_and_quit(talk: Any, keyboard: Any) -> None:
    out = keyboard(talk()[0], "/help", "/quit", "w1")
    assert "/system TEXT" in out
    assert "w1" not in out
