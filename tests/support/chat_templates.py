"""Chat templates of the kinds in use, written for these tests, and tokenizers for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

_SENTENCES = [
    "Hello there, how are you today? I am fine, thank you for asking.",
    "The weather in Paris is sunny and warm; what is it like in your town?",
    "Answer: yes or no. Question: why?\n\nBecause the parcel was late.\n",
    '{"name": "weather", "arguments": {"city": "Paris"}}\n[INST] [/INST] ### Response:\nassistant user system',
    "  two spaces   three    four\n\n\nlines\ttabs",
]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

LLAMA2 = """\
{%- if messages[0].role == 'system' -%}
  {%- set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' -%}
  {%- set turns = messages[1:] -%}
{%- else -%}
  {%- set system = '' -%}
  {%- set turns = messages -%}
{%- endif -%}
{%- for m in turns -%}
  {%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}
    {{- raise_exception('roles must alternate: user, assistant, user, ...') -}}
  {%- endif -%}
  {%- if m.role == 'user' -%}
    {{- bos_token + '[INST] ' + (system if loop.first else '') + m.content.strip() + ' [/INST]' -}}
  {%- else -%}
    {{- ' ' + m.content.strip() + ' ' + eos_token -}}
  {%- endif -%}
{%- endfor -%}"""

LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}"
    "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)

GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)

PHI3 = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)

MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)

# The system text is shown before the last question only, and no longer once that is answered.
MISTRAL_V3 = (
    "{% set system = messages[0].content if messages[0].role == 'system' %}{{ bos_token }}"
    "{% for m in messages %}{% if m.role == 'user' %}"
    "[INST] {{ system + '\n\n' if loop.last and system }}{{ m.content }}[/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
LAST_QUESTION_ONLY = (
    "{% set last = messages | map(attribute='role') | list | join(' ') %}"
    "{% for m in messages %}{% if m.role == 'system' or loop.revindex <= (1 if last.endswith('user') else 2) %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content + eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

HEADERS_ONLY_IN_TURNS = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content + eos_token }}\n{% endfor %}"

ALPACA = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}\n\n"
    "{% elif m.role == 'user' %}### Instruction:\n{{ m.content }}\n\n"
    "{% else %}### Response:\n{{ m.content }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}### Response:\n{% endif %}"
)

TRAILING_SPACE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token if m.role == 'assistant' }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

TOOLS = """\
{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}
{%- for m in messages %}
  {%- if m.role == 'tool' %}<|im_start|>user
<tool_response>
{{ m.content }}
</tool_response><|im_end|>
{% else %}<|im_start|>{{ m.role }}
{{ m.content }}
    {%- for call in m.tool_calls or [] %}
      {%- if m.content or not loop.first %}{{ '\n' }}{% endif %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
    {%- endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

TEXT_ARGUMENTS = TOOLS.replace("call.function.arguments | tojson", "'' + call.function.arguments")
TAGGED_ARGUMENTS = TOOLS.replace(
    "{{ call.function.arguments | tojson }}",
    "{% for key, value in call.function.arguments.items() %}<{{ key }}>{{ value }}</{{ key }}>{% endfor %}",
)
PYTHON_ARGUMENTS = TOOLS.replace("call.function.arguments | tojson", "call.function.arguments")
TOOL_CALL_END = TOOLS.replace(
    "{%- endfor %}<|im_end|>", "{%- endfor %}{{ '<|eom_id|>' if m.tool_calls else '<|im_end|>' }}"
)

NINE_LETTERS = TOOLS.replace(
    '<tool_call>\n{"name"',
    "{% if call.id | length != 9 %}{{ raise_exception('ids have nine letters') }}{% endif %}"
    '<tool_call>\n{"id": "{{ call.id }}", "name"',
).replace("<tool_response>", "<tool_response>{{ m.tool_call_id }}", 1)
FIRST_CALL_ONLY = TOOLS.replace("in m.tool_calls or []", "in (m.tool_calls or [])[:1]")

LAST_ANSWER_ONLY = (
    "{% for m in messages %}{% if m.role != 'assistant' or loop.last %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}"
    "<|Assistant|>{{ m.content.split('</think>')[-1].strip() }}{{ eos_token }}"
    "{% else %}<|User|>{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)

R1_MARKED = R1.replace("<|Assistant|>{{ m.content", "{% generation %}<|Assistant|>{{ m.content", 1).replace(
    "eos_token }}", "eos_token }}{% endgeneration %}", 1
)
R1_CALLS = R1_MARKED.replace(
    "<|Assistant|>{{ m.content",
    "<|Assistant|>{% for call in m.tool_calls or [] %}"
    "<|call|>{{ call.function.name }}{{ call.function.arguments | tojson }}{% endfor %}{{ m.content",
    1,
)
# A second, empty thought before one that the text brings.
THINKS_TWICE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ '<think>\n\n</think>\n\n' if m.role == 'assistant' }}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)

QWEN3 = """\
{%- for m in messages %}
  {%- if m.role == 'assistant' %}
    {%- set thought = '' %}
    {%- if '</think>' in m.content %}
      {%- set thought = m.content.split('</think>')[0].split('<think>')[-1].strip('\n') %}
    {%- endif %}
    {%- set said = m.content.split('</think>')[-1].lstrip('\n') %}
{{- '<|im_start|>assistant\n' }}
    {%- if loop.last %}{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}
    {{- said + '<|im_end|>\n' }}
  {%- else %}
    {{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|im_start|>assistant\n' }}
  {%- if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}
{%- endif %}"""

GENERATION = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\n"
    "{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>\n"
    "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GENERATION_TOO_MUCH = GENERATION.replace("{% endgeneration %}<|im_end|>\n", "<|im_end|>\n{% endgeneration %}")
GENERATION_EXACT = GENERATION.replace("{% endgeneration %}<|im_end|>", "<|im_end|>{% endgeneration %}")
# What is prepended to every answer is not learned when the template says so.
GENERATION_LATE = GENERATION.replace("{% generation %}", "Well, {% generation %}")

SILENT_SYSTEM = (
    "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT_END = CHATML.replace("<|im_start|>", "## ").replace("<|im_end|>", "\n## End")
NO_ANSWERS = "{% for m in messages if m.role != 'assistant' %}{{ m.content }}{% endfor %}"
RAISES = "{{ messages[0].content.nothing.at.all }}"
SLOW = "{% for a in range(2000) %}{% for b in range(2000) %}{% endfor %}{% endfor %}" + CHATML
ESCAPES = "{{ messages.__class__.__mro__[1].__subclasses__() }}"


@dataclass(frozen=True)
class Family:
    """A template; the special tokens it needs; what ends a turn; what stands before the text of an answer."""

    template: str
    end: str
    special: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    bos: str | None = None
    eos: str = "</s>"
    system: bool = True
    trims: bool = False
    opening: str = ""
    turn_by_turn: bool = False


_ML = ("<|im_start|>", "<|im_end|>")
_LLAMA3 = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_THINK = ("<think>", "</think>")
FAMILIES = {
    "chatml": Family(CHATML, "<|im_end|>", _ML),
    "llama2": Family(LLAMA2, " </s>", bos="<s>", trims=True, opening=" "),
    "llama3": Family(LLAMA3, "<|eot_id|>", _LLAMA3, bos="<s>", trims=True),
    "gemma": Family(GEMMA, "<end_of_turn>", ("<start_of_turn>", "<end_of_turn>"), bos="<s>", system=False, trims=True),
    "phi3": Family(PHI3, "<|end|>", ("<|end|>", "<|user|>", "<|assistant|>", "<|system|>")),
    "mistral": Family(MISTRAL, "</s>", ("[INST]", "[/INST]"), bos="<s>", system=False, opening=" "),
    "mistral v3": Family(MISTRAL_V3, "</s>", ("[INST]", "[/INST]"), bos="<s>", opening=" "),
    "last question only": Family(LAST_QUESTION_ONLY, "<|im_end|>", _ML, turn_by_turn=True),
    "zephyr": Family(ZEPHYR, "</s>", bos="<s>"),
    "headers only in turns": Family(HEADERS_ONLY_IN_TURNS, "</s>"),
    "alpaca": Family(ALPACA, "</s>", turn_by_turn=True),
    "trailing space": Family(TRAILING_SPACE, "</s>"),
    "tools": Family(TOOLS, "<|im_end|>", _ML, ("<tool_call>", "</tool_call>")),
    "text arguments": Family(TEXT_ARGUMENTS, "<|im_end|>", _ML),
    "end not special": Family(CHATML, "<|im_end|>", (), _ML),
    "last answer only": Family(LAST_ANSWER_ONLY, "<|im_end|>", _ML, turn_by_turn=True),
    "qwen3": Family(QWEN3, "<|im_end|>", _ML, _THINK, opening="<think>\n\n</think>\n\n", turn_by_turn=True),
    "generation": Family(GENERATION, "<|im_end|>", _ML),
    "generation too much": Family(GENERATION_TOO_MUCH, "<|im_end|>", _ML),
    "generation late": Family(GENERATION_LATE, "<|im_end|>", _ML),
    "text end": Family(TEXT_END, "\n## End</s>", turn_by_turn=True),
}  # fmt: skip


def tokenizer_for(family: Family, *, add_bos: bool = False, trim_offsets: bool = False) -> Any:
    """A byte-level tokenizer with a small vocabulary, the family's special tokens and its template."""
    backend = Tokenizer.from_str(_byte_level())
    special = [token for token in (family.bos, family.eos) if token]
    post: list[Any] = [processors.ByteLevel(trim_offsets=trim_offsets)]
    wrapped = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=family.bos, eos_token=family.eos)
    wrapped.add_special_tokens({"additional_special_tokens": [*special, *family.special]})
    wrapped.add_tokens(list(family.added))
    if add_bos:
        number = wrapped.convert_tokens_to_ids(family.bos)
        post.append(processors.TemplateProcessing(f"{family.bos} $A", special_tokens=[(family.bos, number)]))
    wrapped.backend_tokenizer.post_processor = processors.Sequence(post)
    wrapped.chat_template = family.template
    return wrapped


@lru_cache
def _byte_level() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    text: str = tokenizer.to_str()
    return text


def said(role, content, **more):
    return {"role": role, "content": content, **more}


def talk(*contents, system=None):
    turns = [said("assistant" if number % 2 else "user", content) for number, content in enumerate(contents)]
    return turns if system is None else [said("system", system), *turns]


def learned(tokenizer, examples):
    """The text of every learned turn; nothing but the spans may be learned."""
    texts = []
    for example in examples:
        assert example.ids.dtype == np.int32
        assert example.learned.dtype == bool
        inside = np.zeros(len(example), dtype=bool)
        for start, stop in example.spans:
            inside[start:stop] = True
            texts.append(tokenizer.decode(example.ids[start:stop], clean_up_tokenization_spaces=False))
        assert (inside == example.learned).all()
    return texts


def expected(family, answer):
    kept = answer.strip() if family.trims else answer.lstrip("\n") if "</think>" in family.opening else answer
    return family.opening + kept + family.end


def called(arguments, name="weather"):
    function = {"name": name, "arguments": arguments}
    return said("assistant", None, tool_calls=[{"id": "call12345", "type": "function", "function": function}])
