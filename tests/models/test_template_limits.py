"""A chat template is a program of somebody else: it ends, and makes nothing too large, whatever it says."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import language_models
from tunesmith.core.errors import ModelError
from tunesmith.models import rendering
from tunesmith.models.own_template import use_template
from tunesmith.models.rendering import ChatTemplate

TWICE = "{% set ns = namespace(x=START) %}{% for i in range(200) %}{% set ns.x = NEXT %}{% endfor %}{{ ns.x | length }}"


def twice(start: str, following: str) -> str:
    return TWICE.replace("START", start).replace("NEXT", following)


TOO_MUCH = [
    "{% set x = (9**(9**9)) % 7 %}", "{{ 9**(9**9) }}", twice("2", "ns.x * ns.x"), twice("'ab'", "ns.x ~ ns.x"),
    twice("'ab'", "ns.x + ns.x"), twice("[1]", "[ns.x, ns.x]"), twice("[1]", "ns.x + ns.x"),
    twice("[1]", "(ns.x * 2) | batch(2) | list"), twice("{}", "{'a': ns.x, 'b': ns.x}"),
    twice("{}", "dict(a=ns.x, b=ns.x)"),
    "{{ 'a' * 10**10 }}", "{{ 10**10 * 'a' }}", "{{ [1] * 10**10 }}", "{{ 'a'.center(10**10) }}",
    "{{ 'a' | center(10**10) }}",
    "{{ 'a' | attr('ljust')(10**10) }}", "{{ ['a'] | map('center', 10**10) | list }}", "{{ '%10000000000d' % 1 }}",
    "{{ '%*d' % (10**10, 1) }}", "{{ '%.10000000000f' | format(1.0) }}", "{{ '{:10000000000}'.format(1) }}",
    "{{ '{:{w}}'.format(1, w=10**10) }}", "{{ (1).to_bytes(10**10, 'big') }}", "{{ 1 | round(-1000000000) }}",
    "{{ [1] | batch(10**9, 'x') | list }}", "{{ [1] | slice(10**9) | list }}", "{{ [1] | tojson(indent=10**9) }}",
    "{{ 'a' | indent(10**9) }}", "{{ 'a'.replace('', 'b' * 10**6).replace('', 'b' * 10**6) }}",
    "{{ ('a' * 10**6) | replace('a', 'b' * 100) }}", "{{ ('f' * 10**7) | int(base=16) // 7 }}",
    "{{ 'a'.expandtabs(10**9) }}",
    "{{ ''.join(['a' * 10**6] * 1000) }}", "{{ messages * 10**5 | join('x' * 10**6) }}",
    "{% for i in range(99999) %}{{ 'x' * 10**6 }}{% endfor %}",
    "{% for i in range(99999) %}{% for i in range(99999) %}" + "x" * 1000 + "{% endfor %}{% endfor %}",
]  # fmt: skip
TOO_LONG = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% for a in range(99999) %}{{ ([1] * 99999) | sum }}{% endfor %}",
    "{% macro m(n) %}{% for a in range(99999) %}{{ caller() }}{% endfor %}{% endmacro %}"
    "{% call m(1) %}{% for a in range(99999) %}{% endfor %}{% endcall %}",
]
OTHERS = ["{{ lipsum(10**9) }}", "{{ 'a' | urlize }}", "{{ range(10**18) }}",
          "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{{ " + "-" * 50_000 + "1 }}"]  # fmt: skip


def made(before: str) -> ChatTemplate:
    return ChatTemplate(before + language_models.CHATML, {}, {"<|im_start|>", "<|im_end|>"}, set())


@pytest.mark.parametrize("source", [*TOO_MUCH, *TOO_LONG, *OTHERS], ids=lambda source: source[:40])
def test_a_template_that_takes_too_much_is_refused_at_once(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 0.2)
    start = time.process_time()
    with pytest.raises(ModelError, match=r"asks for|did not finish|fails on"):
        made(source)
    assert time.process_time() - start < 8  # seconds; tenths of one on a quiet machine


def test_the_limits_hold_for_rows_as_for_the_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 0.2)
    template = made("{% if messages | length > 2 %}{% set x = 9**(9**9) %}{% endif %}"
                    "{% if messages | length > 3 %}" + TOO_LONG[0] + "{% endif %}")  # fmt: skip
    talk = [{"role": role, "content": "hello"} for role in ("user", "assistant", "user", "assistant")]
    with pytest.raises(ModelError, match="asks for the power"):
        template.render(talk[:3])
    template = made("{% if messages | length > 3 %}" + TOO_LONG[0] + "{% endif %}")
    assert template.render(talk[:3])[0].count("hello") == 3
    with pytest.raises(ModelError, match="did not finish"):
        template.render(talk)


def test_what_templates_of_models_do_is_as_it_was() -> None:
    """Each construct that published templates use, beside what plain jinja2 makes of it."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    source = (
        "{% set ns = namespace(a='', n=0, all=[]) %}{% macro say(x, y='!') %}[{{ x }}{{ y }}]{% endmacro %}"
        "{% for m in messages if m.content %}{% set ns.n = ns.n + 2 ** 3 % 5 - 1 %}{% set ns.all = ns.all + [m.role] %}"
        "{{ loop.index0 ~ ':' ~ m['role'] | upper }}{{ m.content.strip().replace('e', 'E').split(' ')[0] }}"
        "{{ say(m.content | trim) }}{{ '%s-%05.2f' % (m.role, 1.5) }}{{ '{:>8}|{}'.format(m.role, [1, {'a': 2}]) }}"
        "{% set ns.a = ns.a ~ loop.index %}{% if not loop.last %}, {% else %}.{% endif %}{% endfor %}"
        "{{ ns.n }} {{ ns.all | join('/') }} {{ ns.all[::-1] }} {{ (1, 'b') }} {{ [] }} {{ {} }} {{ {'a': [1, 2]} }}"
        "{{ none }}"
        "{% set block %}x{{ 1 + 1 }}y{% endset %}{{ block }}{{ 'ab' * 3 }}{{ [0] * 3 }}{{ messages | length // 2 }}"
        "{{ {'b': 1, 'a': 2} | dictsort }}{{ messages | map(attribute='role') | list }}{{ 'a\nb' | indent(4) }}"
        "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('+') }}"
        "{{ 7.25 | round(1) }}"
        "{% for k, v in {'x': 1}.items() %}{{ k }}={{ v }}{% endfor %}{{ undefined_name }}{{ -3 % 2 }}{{ 'x' in 'xy' }}"
    )
    talk = [{"role": "user", "content": " hello there "}, {"role": "assistant", "content": "yes"}]
    expected = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(source)
    rendering.limit_templates()
    from transformers.utils.chat_template_utils import render_jinja_template

    found = render_jinja_template(conversations=[talk], chat_template=source)[0][0]
    assert found == expected.render(messages=talk)


def test_a_template_file_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "own.jinja")
    with pytest.raises(ModelError, match=r"own\.jinja: the file can not be read"):
        use_template(language_models.tokenizer(), str(tmp_path / "own.jinja"))


def test_generation_tags_are_marked_as_before() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %}A:"
        "{% generation %}{{ m.content + '<e>' }}{% endgeneration %}"
        "{% else %}Q:{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
    )
    text, spans = ChatTemplate(source, {}, {"<e>"}, set()).render(
        [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    )
    assert text == "Q:oneA:two<e>"
    assert spans == [(7, 13)]
