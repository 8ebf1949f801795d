"""
Renders snippets of chat templates with Jinja2 as transformers configures it: src/data/fixtures/templates/snippets.json.

    python3 e2e/oracle/make_templates.py [--all FILE]     (versions: requirements.txt)

Most are products of a few values with every operator, filter, test and method that templates use; of those a share is kept, the
same each time, or all of them with --all. The rest are written by hand. A snippet that Jinja2 refuses has null.
"""

import json
import re
import sys
import zlib
from pathlib import Path

import jinja2
import transformers
from transformers.utils.chat_template_utils import render_jinja_template

assert (jinja2.__version__, transformers.__version__) == ("3.1.6", "5.24.0")
target = Path(__file__).parents[2] / "src/data/fixtures/templates/snippets.json"
kept = 3000

messages = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "  wide \n", "name": "Ann"},
    {"role": "assistant", "content": "<think>\n  plan\n</think>\n\n    one = 1\n"},
    {"role": "user", "content": [{"type": "text", "text": "Again?"}], "n": 3, "x": [1, 2.5, None, True]},
    {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"a": "é", "b": [1]}}}]},
]

strings = [
    "''", "' '", "'abc'", "'Hello World'", '"it\'s"', "'a,b,,c'", "'  pad \\n'", "'hELLO wORLD'", "'ß ǆabc ﬁn'", "'ΑΣ ΣΑΣ Σ'", "'🙂é🙂'",
    "'a\\x85b\\x1cc'", "'\\ufeffx\\ufeff'", "'12'", "' -3_0 '", "'1.5e3'", "'<a href=\"x\">&'", "'İi'", "'٣४'", "'²'", "'一二'",
    "'a\\tb\\r\\nc\\x0bd\\n'", "'abcabcab'", "'ABC'", "'\\u00a0\\u2028\\x00\\x7f\\U000e0001'", "'Ab Cd1a'", "'𝟙'", "'0x1F'", "'inf'",
    "'under_score-d [x] (y) {z} <w>'", "'ᾳᾲ ŉ ა'",
]
numbers = ["0", "1", "-1", "7", "255", "-17", "2**70", "1.0", "-0.0", "2.5", "3.5", "-2.5", "0.1", "1e16", "1e-5", "1e22", "123456.789", "5e-324"]
others = [
    "true", "false", "none", "[]", "[1, 2, 3]", "['b', 'a', 'B']", "[1, 'a', none, true, 1.0]", "[[1, 2], [3]]", "(1,)", "()", "(1, 2)", "{}",
    "{'a': 1, 'b': [1, 2]}", "{'b': 'x', 'a': 'Y', 'C': 'y'}", "{1: 2, 'x': none}", "messages", "messages[0]", "messages[3]", "range(4)",
    "range(5, -3, -2)", "x", "messages[0].x", "namespace(a=1)", "{'a': 1}.items()", "{'a': 1}.keys()", "{'a': 1}.values()", "[1, 2]|map('string')",
    "'<b>'|e", "[3, 1, 2.0, true]", "['é', 'z', '🙂', '\\uffff']",
]
values = strings + numbers + others
few = ["''", "'abc'", "'🙂é'", "'b'", "0", "1", "-7", "2", "2**70", "1.0", "-2.5", "0.5", "true", "false", "none", "[]", "[1, 2]", "['b']", "(1,)", "{}", "{'b': 1}", "x", "range(2)", "'<'|safe"]

methods = {
    "str": [
        "capitalize()", "casefold()", "center(9)", "center(10, '*')", "count('a')", "count('')", "count('b', 1, 5)", "encode()", "endswith('b')",
        "endswith(('x', 'c'))", "expandtabs()", "expandtabs(2)", "find('b')", "find('')", "find('a', 1)", "find('a', -3, -1)", "find('', 99)",
        "format(1)", "format_map({})", "index('a')", "isalnum()", "isalpha()", "isascii()", "isdecimal()", "isdigit()", "isidentifier()",
        "islower()", "isnumeric()", "isprintable()", "isspace()", "istitle()", "isupper()", "join(['1', '2'])", "join('xyz')", "join([1])",
        "ljust(9, '.')", "lower()", "lstrip()", "lstrip('aH ')", "partition('b')", "removeprefix('a')", "removesuffix('b')", "replace('a', 'X')",
        "replace('', '-')", "replace('b', '', 1)", "replace('a')", "rfind('b')", "rfind('')", "rindex('c')", "rjust(9)", "rpartition('b')",
        "rsplit()", "rsplit(none, 1)", "rsplit('b', 1)", "rsplit('bc')", "rstrip()", "rstrip('bc\\n ')", "split()", "split(none, 1)",
        "split('b')", "split('b', 1)", "split(',', maxsplit=2)", "split(sep='ab')", "split('')", "splitlines()", "splitlines(true)",
        "startswith('a')", "startswith('b', 1)", "startswith(())", "strip()", "strip('a b')", "swapcase()", "title()", "translate({})", "upper()",
        "zfill(6)", "nothing()", "__class__", "_x", "upper", "isdigit", "strip(none)", "strip(1)", "split(1)",
    ],
    "list": ["index(1)", "index(2, 1)", "index('q')", "count(1)", "copy()", "append(1)", "sort()", "pop()", "append", "x", "index(1.0)", "count(true)"],
    "tuple": ["index(1)", "count(1)", "append(1)"],
    "dict": ["get('a')", "get('zz')", "get('zz', 5)", "get('a', default=1)", "items()", "keys()", "values()", "copy()", "pop('a')", "update({})", "setdefault('a', 1)", "fromkeys([1])", "a", "b", "items", "update", "clear", "__len__()", "get()", "get([])"],
    "int": ["real", "imag", "numerator", "denominator", "bit_length()", "x", "conjugate()"],
    "float": ["is_integer()", "real", "imag", "hex()", "x"],
}
of_type = {
    "str": strings, "list": ["[]", "[1, 2, 3]", "['b', 1, true]"], "tuple": ["()", "(1, 2, 1)"], "dict": ["{}", "{'a': 1, 'b': [1, 2]}", "{'items': 5, 'update': 6}"],
    "int": ["5", "0", "-6", "true", "2**70"], "float": ["2.5", "-3.0"],
}

filters = [
    "abs", "attr('a')", "attr('upper')", "batch(2)|list", "batch(2, '-')|list", "capitalize", "center", "center(11)", "count", "d('z')", "default('z', true)",
    "default(default_value=1)", "dictsort", "dictsort(true)", "dictsort(by='value')", "dictsort(false, 'key', true)", "e", "escape|length", "filesizeformat",
    "filesizeformat(true)", "first", "float", "float(9)", "forceescape", "format(1)", "format", "groupby('a')", "groupby(0)", "indent", "indent(2, true)", "indent('> ', first=true, blank=true)",
    "int", "int(9)", "int(base=16)", "items|list", "join", "join('-')", "join(d=1)", "last", "length", "list", "lower", "map('upper')|list", "map(attribute='a')|list",
    "map(attribute='role', default='-')|list", "map('default', 3)|list", "map()|list", "max", "min", "max(attribute='role')", "min(true)", "reject|list", "reject('none')|list",
    "rejectattr('a')|list", "rejectattr('role', '==', 'user')|list", "replace('a', 'b')", "replace('b', 1, 1)", "replace(old='a', new='')", "reverse", "reverse|list", "round", "round(1)", "round(2, 'floor')",
    "round(0, 'ceil')", "round(-1)", "round(method='x')", "safe", "safe|length", "select|list", "select('string')|list", "select('==', 1)|list", "select('in', [1, 'b'])|list", "selectattr('a')|list",
    "selectattr('role', 'equalto', 'user')|list|length", "selectattr('name', 'defined')|list|length", "slice(2)|list", "slice(3, 0)|list", "sort", "sort(true)", "sort(case_sensitive=true)", "sort(attribute='role')",
    "sort(attribute='role,name')", "string", "sum", "sum(start=1)", "sum(attribute='n')", "title", "tojson", "tojson(indent=2)", "tojson(true)", "tojson(separators=(',', ':'))", "tojson(sort_keys=true)", "tojson(indent='')",
    "trim", "trim('a')", "trim(chars=' H')", "truncate(5)", "truncate(5, true, '', 0)", "truncate(9, false, '~')", "unique|list", "unique(true)|list", "unique(attribute='role')|list|length", "upper", "urlencode",
    "wordcount", "xmlattr", "nothing", "upper(1)", "trim(1, 2)", "join(nothing=1)", "string|upper", "list|length", "pprint", "random", "striptags", "urlize", "wordwrap",
]
tests = [
    "defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping", "sequence", "iterable", "callable",
    "lower", "upper", "odd", "even", "escaped", "filter", "test", "divisibleby(3)", "divisibleby 2", "eq(1)", "equalto 'abc'", "ne 1", "gt(1)", "ge(1)", "lt('b')", "le(1)", "lessthan 2",
    "greaterthan 0", "in([1, 'abc'])", "in 'abcabc'", "in(1)", "sameas none", "sameas(true)", "sameas 1", "not none", "not defined", "nothing", "eq", "defined(1)",
]
subscripts = ["[0]", "[-1]", "[9]", "[1:]", "[:-1]", "[::-1]", "[1:3]", "[::2]", "[-2:9]", "[5:1:-2]", "[::0]", "['a']", "['upper']", "['x']", "[none]", "[true]", "[1.0]", "[1, 2]", "[[]]", ".0", ".a", ".role", "[x]", "['a':]", "[range(2)]"]
binary = ["+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "~", "and", "or"]
unary = ["-", "+", "not "]

specs = ["", "s", "d", "5", "<5", ">5", "^6", "=5", "*^9", "05", "+", " ", "+d", ",", "_", ",d", "08,", ".2", ".3f", "8.2f", "+.1f", "e", ".2e", "g", ".3g", "G", "%", ".1%", "x", "#x", "X", "o", "b", "#b", "c", "_x", "010.3f", "<08", "é^5", ".0f", "#.3g", "n", "10s", ".2s", "{", "z", ".10", "E", "F", "020,.2f", ">+5d"]
formatted = ["'abc'", "'🙂é'", "5", "-1234567", "2.5", "-0.5", "1234567.891", "1e20", "0.0001", "none", "true", "[1]", "0", "1.0", "100", "1e16", "99.95", "'<b>'|e"]
percents = ["%s", "%r", "%a", "%d", "%i", "%5d", "%-5d|", "%05d", "%+d", "% d", "%x", "%X", "%#x", "%o", "%#o", "%f", "%.2f", "%8.3f", "%-8.1f|", "%e", "%.1e", "%g", "%G", "%c", "%%", "%5s|", "%-5s|", "%.2s", "%.3d", "%#.2x", "%+.2e", "%q", "%", "%(a)s", "%s %s", "%*d", "%.*f", "%08.2f", "%u", "%ld", "%5%", "% 05d", "%-05d|", "%.0f", "%#g"]

hand = r"""
{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }}{{ loop }};{% endfor %}
{% for m in messages %}{{ loop.changed(m.role) }}{{ loop.cycle('a', 'b', 'c') }}{{ loop.nextitem.role }}{{ loop.previtem.role if loop.previtem is defined }}{{ loop.x is defined }}|{% endfor %}
{% for m in messages if m.role == 'user' %}{{ loop.index }}/{{ loop.length }}{{ loop.last }}{{ m.content }}{% else %}none{% endfor %}
{% for m in messages if m.role == 'nobody' %}x{% else %}none{{ loop is defined }}{% endfor %}
{% for k, v in messages[0].items() %}{{ k }}={{ v }}{{ ',' if not loop.last }}{% endfor %}
{% for k, v in messages[0]|items %}{{ k }}{{ v }}{% endfor %}
{% for a in [1, 2] %}{% for b in [3, 4] %}{{ loop.index }}{{ a }}{{ b }}{% endfor %}{{ loop.index }}{% endfor %}
{% for a in [[1, [2, 3]], [4, [5, 6]]] %}{% set b, c = a %}{{ b }}{{ c }}{% endfor %}
{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [[1]] %}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{% endfor %}
{% for a in none %}{% endfor %}
{% for a in 5 %}{% endfor %}
{% for a in x %}{% else %}empty{% endfor %}
{% for c in 'a🙂b' %}[{{ c }}]{% endfor %}
{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}
{% for i in range(3) %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}
{% for i in range(9) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% else %}e{% endfor %}
{% for i in [1, 2] %}{% for j in [1, 2] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }}{% endfor %}|{% endfor %}
{% for i in [1] %}{% set z %}a{% break %}b{% endset %}{% endfor %}{{ z }}
{% for i in [1, 2] %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% break %}
{% for i in [1, 2, 3] recursive %}{{ i }}{% if i is iterable %}{% endif %}{% endfor %}
{% for i in [1, [2, [3]]] recursive %}{% if i is sequence %}({{ loop(i) }}){% else %}{{ i }}{{ loop.depth }}{% endif %}{% endfor %}
{% for i in [1] %}{{ loop([2]) }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}
{% if false %}{% set q = 2 %}{% endif %}{{ q is defined }}
{% set ns = namespace(n=0, l=[]) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.l = ns.l + [m.role] %}{% endfor %}{{ ns.n }}{{ ns.l }}{{ ns }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns['a'] }}{{ ns.c is defined }}{{ ns }}
{% set ns = namespace(_a=1) %}
{% set ns = namespace() %}{% set ns._a = 1 %}
{% set d = {} %}{% set d.a = 1 %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a = 1, %}{{ a }}
{% set a, b = 'xy' %}{{ b }}{{ a }}
{% set a = b = 1 %}
{% set true = 1 %}
{% set x | upper | replace('B', '-') %}a{{ 'b' }}c{% endset %}{{ x }}{{ x is string }}
{% set x %}{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y is defined }}
{% with %}{% set a = 1 %}{{ a }}{% endwith %}{{ a is defined }}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}
{% set a = 0 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% filter upper %}a{% set v = 1 %}b{{ v }}{% endfilter %}{{ v is defined }}
{% filter replace('a', 'b') | upper %}aa{% endfilter %}
{% macro f(a, b=2, c=b) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(1, c=4) }}{{ f() }}{{ f(b=1, a=2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(q=2) }}
{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, a=3) }}
{% macro f(a) %}{{ a }}{{ varargs }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a, a2=x) %}{{ a is defined }}{{ a2 is defined }}{% endmacro %}{{ f() }}
{% macro f() %}{{ caller('z') }}{% endmacro %}{% call(q) f() %}<{{ q }}>{% endcall %}
{% macro f() %}{{ caller() }}{{ caller() }}{% endmacro %}{% set v = 1 %}{% call f() %}{{ v }}{% endcall %}
{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}
{% macro f() %}x{% endmacro %}{% call f() %}y{% endcall %}
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}
{% macro f() %}{{ later }}{% endmacro %}{% set later = 5 %}{{ f() }}
{% macro f() %}{{ m }}{% endmacro %}{% for m in [1] %}{{ f() }}{% endfor %}
{% for m in [1] %}{% macro f() %}{{ m }}{{ loop.index }}{% endmacro %}{{ f() }}{% endfor %}
{% macro f() %}{% set v = 3 %}{{ v }}{% endmacro %}{% set v = 1 %}{{ f() }}{{ v }}
{% macro f(x) %}{% if x %}{{ x }}{% endif %}{% endmacro %}{{ f('a')|upper }}{{ f('b') ~ 1 }}{{ f }}{{ f.name }}
{% macro f(a, b) %}{% endmacro %}{{ f.arguments }}
{{ f(1) }}{% macro f(a) %}{% endmacro %}
{% macro f(a, b=1) %}{{ a }}{{ b }}{% endmacro %}{{ f(none, none) }}{{ f(a=none) }}
{{ [none, none]|sort }}{{ [x, x]|sort }}{{ [[1, none], [1, none]]|sort }}{{ namespace(a=none)|attr('a') }}{% for a in [none, 1] %}{{ loop.previtem }}{{ loop.nextitem }}{% endfor %}
{% generation %}a{% set g = 1 %}{{ g }}{% endgeneration %}{{ g is defined }}
{% for m in messages %}{%- if m.role == 'assistant' %}{%- generation -%} {{ m.content }} {%- endgeneration -%}{% endif %}{% endfor %}
{%- generation -%}  x  {%- endgeneration -%}
{% raw %}{{ x }}{% if %}{% endraw %}!
{%- raw -%}  {{ x }}  {%- endraw -%}
{% raw -%} a {% endraw +%} b
{% print 1, 'a' %}
{% do 1 %}
{% trans %}{% endtrans %}
{% block a %}{% endblock %}
{% include 'a' %}
{% if x %}{{ 1|nothing }}{% endif %}ok
{% if true %}{{ 1|nothing }}{% endif %}ok
{{ 1|nothing if false else 2 }}
{% if false %}{% for a in [] %}{{ a|nothing }}{% endfor %}{% endif %}
{{ 'a' if true }}{{ 'a' if false }}{{ ('a' if false) is defined }}{{ 1 if 0 else 2 if 1 else 3 }}
{{ 1 if 1 if 0 else 2 }}
{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 1 == 1 == 1 }}{{ 'a' in 'abc' in ['abc'] }}{{ 3 > 2 > 1 == 1 }}
{{ not 1 == 2 }}{{ not not 1 }}{{ not x is defined }}{{ 1 in [1] and not 2 in [1] }}
{{ 2 ** 3 ** 2 }}{{ -2 ** 2 }}{{ -2|abs }}{{ (-2)|abs }}{{ 2 ** -1 }}{{ - -1 }}{{ -'a'|length }}
{{ 1 + 2 ~ 3 + 4 }}{{ 1 ~ 2 * 3 }}{{ 'a' ~ 1 + 2 }}
{{ 'a' 'b' "c" }}{{ ('x' 'y') | upper }}
{{ 'a' 'b' ~ 'c' }}
{{ [1, 2,] }}{{ (1, 2,) }}{{ {'a': 1,} }}{{ (1) }}{{ () }}{{ 1, 2 }}
{{ [1, 2][0] }}{{ 'abc'[1] }}{{ {'a': {'b': 1}}.a.b }}{{ {'a': {'b': 1}}['a']['b'] }}{{ [[1]][0][0] }}{{ messages.0.role }}
{{ 0x1f }}{{ 0b11 }}{{ 0o17 }}{{ 1_000 }}{{ 1e3 }}{{ 1.5e-3 }}{{ 1E5 }}{{ 00 }}{{ 1_0.5_0 }}
{{ 01 }}
{{ 1. }}
{{ .5 }}
{{ 'a\nb\t\\\'\"\x41\u00e9\U0001f642\101\q\
c' }}
{{ '\é' }}
{{ '\x4' }}
{{ '\N{BULLET}' }}
{{ "a'b" }}{{ 'a"b' }}
{{ range(3) }}{{ range(1, 7, 2)|list }}{{ range(3, 0, -1)|list }}{{ range(0)|list }}{{ 2 in range(3) }}{{ range(5)[2] }}{{ range(5)|last }}{{ range(10)|length }}
{{ range(1, 2, 0) }}
{{ range(200000) }}
{{ range() }}
{{ range(1.5) }}
{{ dict(a=1, b=2) }}{{ dict({'x': 1}, y=2) }}{{ dict([(1, 2)]) }}{{ dict.fromkeys(['a'], 1) }}{{ dict() }}
{{ dict(1) }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set r = c.reset() %}{{ c.current }}
{{ cycler() }}
{% set j = joiner() %}{{ j() }}{{ j() }}{{ j() }}{% set k = joiner('|') %}{{ k() }}{{ k() }}
{{ raise_exception('no') }}
{{ 5() }}
{{ x() }}
{{ x.y }}
{{ x['y'] }}
{{ x.y is defined }}
{{ messages[0].x.y }}
{{ messages[99].role }}
{{ messages[0].x|default('d') }}{{ messages[99]|default('e') }}
{{ x + 1 }}
{{ x ~ 1 }}{{ x|upper }}{{ x == x }}{{ x == none }}{{ x in [1] }}{{ 1 in x }}{{ [x] }}{{ x and 1 }}{{ not x }}{{ x|list }}
{{ x < 1 }}
{{ -x }}
{{ x|tojson }}
{{ none ~ true }}{{ 'a' ~ none ~ 1.0 ~ [1] }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ none + 1 }}
{{ [1] + (2,) }}
{{ tools }}{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ bos_token }}{{ eos_token }}{{ tools or 'no' }}
{{ self }}
{{ lipsum() }}
{{ strftime_now is defined }}{{ strftime_now('') }}
{{ messages|map(attribute='role')|join(',') }}{{ messages|map(attribute='function.name')|list }}{{ messages|map(attribute='tool_calls.0.function.name')|list }}
{{ messages|selectattr('content', 'string')|map(attribute='content')|map('trim')|map('length')|list }}
{{ messages|selectattr('role', 'in', ['user', 'system'])|list|length }}{{ (messages|selectattr('role', 'equalto', 'system')|first).content }}
{{ messages|rejectattr('name', 'undefined')|map(attribute='name')|list }}
{{ messages|groupby('role')|map('first')|list }}{% for g in messages|groupby('role') %}{{ g.grouper }}{{ g.list|length }}{{ g[0] }}{% endfor %}
{{ ['b', 'A', 'c']|sort }}{{ ['b', 'A', 'c']|sort(case_sensitive=true) }}{{ [3, 1, 2]|sort(reverse=true)|join }}{{ [1, 'a']|sort }}
{{ [1, 2, 3, 4]|sum }}{{ [0.1, 0.2, 0.3]|sum }}{{ [[1], [2]]|sum(start=[]) }}
{% set g = messages|selectattr('role', 'equalto', 'user') %}{{ g|list|length }}{{ g|list|length }}
{% set g = [1, 2]|map('string') %}{% for a in g %}{{ a }}{{ loop.last }}{{ loop.length }}{% endfor %}{{ g|list }}
{{ [1, 2]|map('string') }}
{{ [1, 2]|reverse|list }}{{ 'abc'|reverse }}{{ {'a': 1, 'b': 2}|reverse|list }}{{ [1]|reverse|last }}
{{ ([1, 2]|map('string'))|last }}
{{ ([1, 2]|map('string'))|length }}
{{ [1]|map('nothing')|list }}
{{ [1]|select('nothing')|list }}
{{ [1]|map(attribute='a', x=1)|list }}
{{ 'a,b'.split(',')|last }}{{ 'a b'.split()[0] }}{{ 'k=v'.partition('=')[2] }}{{ 'x'.join(['a', 'b']) }}
{{ '%s and %s' % ('a', 'b') }}{{ '%d%%' % 5 }}{{ '%(a)s' % {'a': 1} }}{{ '%s' % [1] }}{{ '%s' % ((1, 2),) }}
{{ '%s' % (1, 2) }}
{{ '%s %s' % 1 }}
{{ 'a' % 1 }}
{{ 'a' % [1] }}{{ 'a' % {} }}
{{ '{} {}'.format(1, 2) }}{{ '{1} {0}'.format(1, 2) }}{{ '{a} {b[0]} {c.role}'.format(a=1, b=[2], c=messages[0]) }}{{ '{{}}'.format() }}{{ '{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c') }}
{{ '{!r} {!s} {!a}'.format('é', 'é', 'é') }}{{ '{:{}}'.format('a', 5) }}{{ '{0:{1}.{2}f}'.format(1.5, 8, 3) }}{{ '{:,}'.format(1234567) }}
{{ '{}'.format() }}
{{ '{a}'.format() }}
{{ '{0} {}'.format(1, 2) }}
{{ '{'.format(1) }}
{{ '}'.format(1) }}
{{ '{a.b}'.format(a={'b': 1}) }}{{ '{a[b]}'.format(a={'b': 1}) }}{{ '{a[0]}'.format(a=[5]) }}
{{ '{a.__class__}'.format(a=1) }}
{{ ''.__class__ }}|{{ ''.__class__.__mro__ }}
{{ messages[0].__class__ is defined }}{{ messages[0]._x is defined }}
{{ messages.append(1) }}
{{ messages[0].update({}) }}
{{ messages[0].update is defined }}{{ messages.append }}
{{ ('<a>'|e) + '<' }}{{ '<' ~ ('<'|e) }}{{ ('<'|safe) == '<' }}{{ ['<'|e] }}{{ ('<'|e)|e }}{{ '<'|e|forceescape }}{{ ('a'|safe) in ['a'] }}{{ {'a'|safe: 1}['a'] }}{{ ('ab'|safe)[0] }}{{ ('<'|safe) * 2 }}
{{ ('a'|safe).upper() }}
{{ ('a'|safe)|upper }}
{{ {'a': 1, 'a': 2} }}{{ {1: 'a', 1.0: 'b', true: 'c'} }}{{ {none: 1} }}{{ {(1, 2): 3}[(1, 2)] }}{{ {'x': 1}['x'] }}
{{ {[]: 1} }}
{{ {'b': 1} == {'b': 1.0} }}{{ [1, [2]] == [1, [2.0]] }}{{ (1,) == [1] }}{{ 'a' == 'a'|safe }}{{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }}
{{ [1, 2] < [1, 3] }}{{ (1,) < (1, 2) }}{{ 'a' < 'b' }}{{ '🙂' > '\uffff' }}{{ 'Z' < 'a' }}{{ true < 2 }}{{ 1 < 1.5 }}
{{ [1] < [none] }}
{{ {} < {} }}
{{ true + true }}{{ true * 'a' }}{{ true|int }}{{ -true }}{{ 1 == true }}{{ 0 == false }}{{ 'a' * true }}{{ [1][false] }}
{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 // -2 }}{{ 7 % -3 }}{{ -7 % 3 }}{{ 7.5 // 2 }}{{ -7.5 % 2 }}{{ 7.5 % -2 }}{{ 1 / 3 }}{{ 2 ** 0.5 }}{{ 10 / 5 }}{{ 1e300 * 1e10 }}{{ 5 % 3.0 }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ 1.0 // 0 }}
{{ 0 ** -1 }}
{{ 2 ** 200 }}{{ (2 ** 64)|string|length }}{{ 2 ** 53 + 1 }}{{ 9007199254740993 }}{{ 9007199254740993 * 3 }}
{{ 1e400 }}{{ -1e400 }}{{ 1e400 - 1e400 }}{{ (1e400)|tojson }}
{{ 3.0 }}{{ 3.10 }}{{ 1e15 }}{{ 123456789012345680.0 }}{{ 0.0001 }}{{ 0.00001 }}{{ 1.0e100 }}{{ 5e-324 }}{{ 1.7976931348623157e308 }}{{ 0.1 + 0.2 }}{{ 100.0 }}
{{ 2.675|round(2) }}{{ 0.5|round }}{{ 1.5|round }}{{ -0.5|round }}{{ 2.5|round(0, 'ceil') }}{{ 7|round }}{{ 1234|round(-2) }}{{ 1250|round(-2) }}{{ 1350.5|round(-2) }}{{ 5|round(0, 'floor') }}{{ true|round }}
{{ '12abc'|int }}{{ '12.7'|int }}{{ ''|int }}{{ none|int }}{{ '0x1f'|int(0, 16) }}{{ '1f'|int(base=16) }}{{ '1e3'|int }}{{ ' 5 '|int }}{{ '1_000'|int }}{{ [1]|int(7) }}{{ '0b11'|int(0, 2) }}{{ '077'|int(0, 0) }}
{{ '1.5'|float }}{{ 'x'|float }}{{ none|float(2) }}{{ '1e5'|float }}{{ 'nan'|float }}{{ '-inf'|float }}{{ '1_0.5'|float }}{{ true|float }}
{{ (1e400)|int }}
{{ {'b': 1, 'a': [1, 2.0, none, true, 'é"\n'], 'c': {}, 'd': [], 'e': ()}|tojson }}
{{ {'b': 1, 'a': [1, {'x': []}], 'c': {}}|tojson(indent=4) }}
{{ {'b': 1, 'a': 2}|tojson(indent=0) }}{{ [1, 2]|tojson(indent='\t') }}{{ {'é': '🙂\x7f\u2028'}|tojson(ensure_ascii=true) }}{{ {1: 1, none: 2, true: 3, 1.5: 4}|tojson }}{{ [1]|tojson(separators=('', '')) }}
{{ '\x00\x1f\b\f\\/<>&\'"\u007f\u0085\u2028'|tojson }}
{{ {'a': 1, 1: 2}|tojson(sort_keys=true) }}
{{ {(1, 2): 1}|tojson }}
{{ [1, [2, 3]]|tojson }}{{ (1, 2)|tojson }}{{ 1.0|tojson }}{{ 1e22|tojson }}{{ none|tojson }}{{ 'a'|tojson|tojson }}
{{ messages|tojson }}
{{ messages[4].tool_calls|tojson(indent=2) }}
{{ messages[4] }}{{ messages[3] }}
{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent(width=3, blank=true) }}|{{ 'a\nb'|indent('--') }}
{{ 'foo bar baz qux'|truncate(9) }}|{{ 'foo bar baz qux'|truncate(9, true) }}|{{ 'foo bar baz qux'|truncate(11) }}|{{ 'foo bar baz qux'|truncate(9, false, '..', 0) }}
{{ 'hello world'|title }}{{ "it's a-b [c] (d) <e>"|title }}{{ "it's a-b".title() }}{{ 'ñandú ǆ'|title }}{{ 'aBC dEF'|title }}
{{ 'a b&c/ü?'|urlencode }}{{ {'a b': 'c&d', 'e': 1}|urlencode }}{{ [('x', 1)]|urlencode }}
{{ 'one two, three_four é1'|wordcount }}{{ 1000|filesizeformat }}{{ 1|filesizeformat }}{{ 123456789|filesizeformat(true) }}{{ 0.5|filesizeformat }}
{{ {'class': 'a<b', 'x': none, 'id': 5}|xmlattr }}{{ {}|xmlattr }}{{ {'a': 1}|xmlattr(false) }}
{{ [1, 2, 3, 4, 5]|batch(2)|list }}{{ [1, 2, 3, 4, 5]|batch(2, 0)|list }}{{ [1, 2, 3, 4, 5]|slice(2)|list }}{{ [1, 2, 3, 4, 5]|slice(3, 'x')|list }}
{{ ['a', 'A', 'b', 1, 1.0]|unique|list }}{{ [[1], [1]]|unique|list }}
{{ [1, none, 0, 'a', '']|select|list }}{{ [1, none, 0]|reject|list }}{{ [1, 2, 3, 4]|select('odd')|list }}{{ [1, 2, 3]|select('greaterthan', 1)|list }}{{ [1, 2]|reject('==', 1)|list }}{{ [1, 4]|select('divisibleby', 2)|list }}
{{ [1, 5, 3]|max }}{{ ['a', 'B']|max }}{{ ['a', 'B']|max(true) }}{{ []|max is defined }}{{ messages|max(attribute='role') == messages[1] }}{{ {'a': 1, 'b': 2}|max }}
{{ messages[0]|dictsort }}{{ {'b': 1, 'A': 3, 'c': 2}|dictsort(false, 'value') }}{{ {'b': 1, 'A': 3}|dictsort(true) }}{{ {'b': 1, 'a': 2}|dictsort(reverse=true) }}
{{ {1: 'a', 'b': 2}|dictsort }}
{{ 'abc'|first }}{{ []|first is defined }}{{ {'a': 1}|first }}{{ range(3)|first }}{{ 'abc'|last }}{{ ''|last is defined }}
{{ 'abc' is string }}{{ 1 is number }}{{ true is number }}{{ true is integer }}{{ 1.0 is float }}{{ {} is mapping }}{{ [] is sequence }}{{ 'a' is sequence }}{{ {} is sequence }}{{ {} is iterable }}{{ 1 is iterable }}{{ none is none }}{{ x is none }}{{ messages[0].get is callable }}{{ 'upper' is filter }}{{ 'odd' is test }}{{ 1 is sameas 1 }}{{ true is sameas(true) }}{{ 1 is sameas true }}
{{ 1 is odd }}{{ 2 is even }}{{ 3 is not odd }}{{ 4 is divisibleby 2 }}{{ 4 is divisibleby(3) }}{{ 'a' is in 'abc' }}{{ 'a' is in ['a'] }}{{ 1 is not in [1] }}{{ 'a' is lower }}{{ 'Ab' is upper }}{{ 1 is eq 1 }}{{ 1 is lt 2 }}
{{ x is defined and x }}{{ 1 if x is defined else 2 }}{{ x is not defined or 1 }}{{ (x is defined) ~ 1 }}
{{ 1 is string is string }}
{{ 'é' in 'café' }}{{ 'a' not in 'b' }}{{ '' in '' }}{{ 'role' in messages[0] }}{{ 'user' in messages|map(attribute='role') }}{{ 1.0 in [1] }}{{ none in [none] }}
{{ 1 in 'a' }}
{{ 'a' in 5 }}
{{ messages[0]['role'] }}{{ messages[0].role }}{{ messages[0].get('role') }}{{ messages[0].get('zz', 'd') }}{{ messages[0].keys()|list }}{{ messages[0].values()|list }}{{ messages[0].items()|list }}{{ messages[0].items() }}{{ messages[0]|length }}
{{ messages[-1]['role'] }}{{ messages[1:]|length }}{{ messages[:1][0].role }}{{ messages[::-1][0].role }}{{ messages[-2:]|map(attribute='role')|list }}{{ 'abcdef'[1:4] }}{{ 'abcdef'[::-2] }}{{ 'abc'[5:] }}{{ (1, 2, 3)[1:] }}{{ 'ab'[9] is defined }}
{{ messages[0:x] }}
{{ [1, 2, 3][1:'a'] is defined }}
{{ 'a\r\nb' | length }}{{ 'x\ny'.splitlines() }}{{ "a
b" }}
a{# comment #}b{#- x -#} c {#+ y +#} d
{# a {{ b }} {% c %} #}x
{#
 multi #}
y
{{ '{{' }}{{ '}}' }}{{ '%}' }}{{ "{#" }}{{ {'a': {'b': 1}} }}{{ {}}}{{ {'a': {}} }}
  {% if true %}  
 a
  {%- endif %}  
b   
  {%+ if true %} c {% endif +%}  
d
 {{ 'e' }} 
	{% if true -%}   
  f  {% endif %}
 {#- g #}  
h
{{ 'i' -}}   
 j {{- 'k' }}
  x {% if true %}y{% endif %}
  {% if true %}{% if true %}
z{% endif %}{% endif %}
{% if true %}
{% if true %}
a
{% endif %}
{% endif %}
{{- 'a' -}}  b  {{- 'c' -}}
{%- for m in messages -%}
    {{- m.role -}}
    {%- if not loop.last -%} , {%- endif -%}
{%- endfor -%}
{% if not (tools is none) %}x{% elif tools is none and documents is none %}y{% else %}z{% endif %}
{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}{% for m in loop_messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}!{% endif %}{% if loop.index0 == 0 and system_message is defined %}{{ '<<' + system_message + '>>' }}{% endif %}{{ m['role'] }}{% endfor %}
{% set ns = namespace(last=-1, tool=false) %}{% for m in messages[::-1] %}{% set index = (messages|length - 1) - loop.index0 %}{% if ns.last < 0 and m.role == "user" and m.content is string and not(m.content.startswith('<t>') and m.content.endswith('</t>')) %}{% set ns.last = index %}{% endif %}{% endfor %}{{ ns.last }}
{% for m in messages %}{% if m.content is string %}{% set content = m.content %}{% else %}{% set content = '' %}{% for c in m.content %}{% if 'text' in c %}{% set content = content + c.text %}{% endif %}{% endfor %}{% endif %}{{ content|trim }}|{% endfor %}
{% for m in messages %}{% set content = m.content %}{% if m.role == 'assistant' and content is string and '</think>' in content %}{% set r = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}{% set content = content.split('</think>')[-1].lstrip('\n') %}[{{ r }}]{% endif %}<{{ content if content is string else content[0].text }}>{% endfor %}
{% set dates = [] %}{% set _ = dates.append(1) %}
{% for m in messages %}{%- if m.tool_calls %}{%- for t in m.tool_calls %}{%- if t.function is defined %}{%- set t = t.function %}{%- endif %}{{ '{"name": "' + t.name + '", "arguments": ' }}{{ t.arguments if t.arguments is string else t.arguments | tojson }}}{% endfor %}{% endif %}{% endfor %}
{{ messages[0].content | replace('.', '!') | upper }}{{ messages | length > 3 }}{{ (messages | length) > 3 and messages[0].role != 'user' }}
{{ {'a': 1}.a }}{{ {'items': 1}.items is callable }}{{ {'items': 1}['items'] }}{{ {'get': 1}['get'] }}{{ {'x': none}.x is none }}{{ {'x': none}.x is defined }}{{ {'x': none}.get('x', 1) }}
{{ f(*[1]) if false }}{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(**{'a': 1, 'b': 2}) }}{{ f(1, **{'b': 3}) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, a=2) }}
{{ 'abc'.upper().lower().title() }}{{ 'a'.upper }}
{{ 'a'|upper()|lower }}{{ ('a','b')|join }}{{ 'x'|default() }}
{{ 1;2 }}
{{ 1 ! 2 }}
{{ a.1b }}
{{ [1, 2 }}
{{ (1] }}
{% if 1 %}
{% endif %}
{% for %}{% endfor %}
{% for a b in c %}{% endfor %}
{% for loop in [1] %}{% endfor %}
{% if %}{% endif %}
{% set %}
{% macro f(a=1, b) %}{% endmacro %}
{{ f(a=1, 2) }}
{{ }}
{% %}
{{ 'a
b' }}
{{ 'a' | }}
{{ x is }}
{{ |upper }}
{% else %}
{% if 1 %}{% else %}{% else %}{% endif %}
{% elif 1 %}
{# open
{{ 'open
{% raw %}open
{{ x if }}
{{ not }}
{{ 1 + }}
{% for m in messages: %}{{ m.role }}{% endfor %}{% if true: %}a{% else: %}b{% endif %}
{{ é }}{% set é = 1 %}{{ é }}
{{ messages[0]. role }}{{ messages [0] .role }}{{ messages[ 0 ]['role'] }}
{{ 1if 1else 2 }}{{ 1or 0 }}
{{ 1.real }}{{ 1 .real }}{{ (1).real }}
{{ 1.5.is_integer() }}
{{ "a" "b".upper() }}
{{ -1 .real }}{{ +1 }}{{ + 1 - -1 }}{{ 5-3 }}{{ 5 -3 }}{{ [1,-1] }}{{ 2*-1 }}{{ 2--1 }}
{{ 10 // 3 * 2 }}{{ 10 - 2 - 3 }}{{ 2 * 3 % 4 }}{{ 8 / 2 / 2 }}{{ 1 - 2 ~ 3 }}
{{ true and false or true }}{{ true or false and false }}{{ not true or true }}{{ 0 or '' or 'a' }}{{ 1 and 2 }}{{ [] and 1 }}
{{ (1, 'a')|join('-') }}{{ (1)|string }}{{ ((1)) }}{{ (1,)|length }}
""".strip("\n")


def snippets():
    """Each by its kind; what stands on several lines by hand is one snippet a line but for the first of them."""
    for v in values:
        for form in ["{{ %s }}", "{{ (%s)|string }}", "{{ [%s] }}", "{{ (%s, 1) }}", "{{ {'k': %s} }}", "{%% for a in %s %%}<{{ a }}>{%% else %%}no{%% endfor %%}", "{%% if %s %%}y{%% else %%}n{%% endif %%}"]:
            yield form % v
        for f in filters:
            yield "{{ (%s)|%s }}" % (v, f)
        for t in tests:
            yield "{{ (%s) is %s }}" % (v, t)
        for s in subscripts:
            yield "{{ (%s)%s }}" % (v, s)
        for u in unary:
            yield "{{ %s(%s) }}" % (u, v)
    for a in few:
        for b in few:
            for op in binary:
                if "2**70" in (a, b) and op in ("**", "*"):  # Python would count for ever
                    continue
                yield "{{ (%s) %s (%s) }}" % (a, op, b)
    for kind, names in methods.items():
        for v in of_type[kind]:
            for name in names:
                yield "{{ (%s).%s }}" % (v, name)
    for v in formatted:
        for s in specs:
            yield "{{ '{:%s}'.format(%s) }}" % (s, v)
        for p in percents:
            yield "{{ '%s' %% (%s) }}" % (p, v)
            yield "{{ '%s'|format(%s) }}" % (p, v)


def by_hand():
    lines = hand.split("\n")
    many = re.compile(r"^(  \{% if true %\}  |\{% if true %\}|\{%- for m in messages -%\})$")
    at = 0
    ends = {"  {% if true %}  ": 20, "{% if true %}": 5, "{%- for m in messages -%}": 4, "{#": 3}
    while at < len(lines):
        line = lines[at]
        size = ends.get(line, 1)
        if line.endswith("\\") or line.endswith('"a') or line in ("{{ 'a", "{{ 'open"):
            size = 2 if line != "{{ 'open" else 1
        yield "\n".join(lines[at : at + size])
        at += size


def render(source):
    """None for what Jinja2 refuses."""
    try:
        return render_jinja_template([messages], chat_template=source, bos_token="<s>", eos_token="</s>")[0][0]
    except RecursionError:
        raise
    except Exception:
        return None


def main():
    whole = "--all" in sys.argv
    product = sorted(set(snippets()))
    if not whole:
        product = sorted(product, key=lambda one: zlib.crc32(one.encode()))[:kept]
    table = [[source, render(source)] for source in [*by_hand(), *sorted(product)]]
    # What prints the address of an object is different each time, and so is a choice at random.
    table = [[source, text] for source, text in table if text is None or " at 0x" not in text and "|random" not in source]
    out = Path(sys.argv[-1]) if whole else target
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join(json.dumps(row, ensure_ascii=True) for row in table)
    out.write_text('{"messages":%s,"snippets":[\n%s\n]}\n' % (json.dumps(messages), rows))
    print(len(table), sum(text is None for _, text in table), out.stat().st_size)


main()
