#!/usr/bin/env python3
"""Makes tokenizers of every supported kind, with the ids of the Rust library, and of transformers for the files next to them.

Needs tokenizers 0.23.3 and transformers 5.24.0 (requirements.txt). Writes src/data/fixtures/tokenizers/rust.json; the same versions
write the same bytes. A model whose tokens are single characters, other ones at the end of a piece, shows where pieces end.
"""
import hashlib
import itertools
import json
import os
import random
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import tokenizers
import transformers
from tokenizers import Tokenizer
from transformers import AutoTokenizer

transformers.logging.set_verbosity_error()
TARGET = Path(__file__).resolve().parents[2] / "src/data/fixtures/tokenizers/rust.json"

TEXTS = ["Hello, world! It's 12 km.", " two  spaces\n\nand\ta tab ", "x² ½ Ⅷ ٣٤ १२", "a\u00a0b\u2003c\u200bd\ufeffe\u0085f", "日本の川、中文。한국 ﬁ", "Übergröße e\u0301 ΟΔΟΣ Σ İ",
         "🙂 𝒜𠮷!", "foo_bar __x__ [a]--(b)...", "a <x> b<x>c <x>", "zqx azqx zqx. <X>", "", " ", "▁a ▁▁b", "aab aaab abab ss ſt K 'S 'Ll"]
MODELS, CASES, SIDES = {}, [], []


def alphabet(texts):
    return sorted(set("".join(texts)))


def byte_chars():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]


def boundary_model():
    chars = sorted(set(alphabet(TEXTS)) | set(alphabet([t.lower() for t in TEXTS])) | set(byte_chars()) | set("▁_X"))
    tokens = ["?"] + [c + end for c in chars for end in ("", "¶")]
    return {"type": "BPE", "dropout": None, "unk_token": "?", "continuing_subword_prefix": None, "end_of_word_suffix": "¶", "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": False, "vocab": {t: i for i, t in enumerate(dict.fromkeys(tokens))}, "merges": []}


def definition(model, **parts):
    base = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
    return {**base, **parts, "model": MODELS[model] if isinstance(model, str) else model}


def ids(whole, texts):
    tokenizer = Tokenizer.from_str(json.dumps(whole))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return [tokenizer.encode(text).ids for text in texts]


def case(name, model="ends", texts=TEXTS, may_refuse=None, **parts):
    """may_refuse: a word that a refusal has to name; None where it has to be done."""
    try:
        right = ids(definition(model, **parts), texts)
    except BaseException as error:
        right = None  # The library refuses it too.
        print(name, "is refused:", str(error)[:90])
    CASES.append({"name": name, "model": model, "parts": parts, "texts": None if texts is TEXTS else texts, "ids": right, "may_refuse": may_refuse})


BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
BL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def in_turn(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def pre_tokenizers():
    for add, regex in itertools.product((False, True), repeat=2):
        case(f"ByteLevel add_prefix_space={add} use_regex={regex}", pre_tokenizer=dict(BL, add_prefix_space=add, use_regex=regex))
    for each in (False, True):
        case(f"Digits individual_digits={each}", pre_tokenizer={"type": "Digits", "individual_digits": each})
    for behavior in BEHAVIORS:
        case(f"Punctuation {behavior}", pre_tokenizer={"type": "Punctuation", "behavior": behavior})
        for invert in (False, True):
            for pattern in ({"String": " "}, {"String": "a"}, {"Regex": r"\d"}, {"Regex": r"\s+"}, {"Regex": r"\w+|[^\w\s]"}, {"Regex": r"a*"}, {"Regex": r"(?=[a-z])"}):
                case(f"Split {json.dumps(pattern)} {behavior} invert={invert}", pre_tokenizer=split(pattern, behavior, invert))
    for scheme, whole, sign in itertools.product(("always", "first", "never"), (False, True), "▁_"):
        case(f"Metaspace {scheme} split={whole} {sign}", pre_tokenizer={"type": "Metaspace", "replacement": sign, "prepend_scheme": scheme, "split": whole})
    case("Metaspace of older files", pre_tokenizer={"type": "Metaspace", "replacement": "▁", "str_rep": "▁", "add_prefix_space": True})
    case("Metaspace contradicting itself", pre_tokenizer={"type": "Metaspace", "replacement": "▁", "add_prefix_space": False})
    for plain in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer"):
        case(plain, pre_tokenizer={"type": plain})
    case("CharDelimiterSplit", pre_tokenizer={"type": "CharDelimiterSplit", "delimiter": "_"})
    case("FixedLength", pre_tokenizer={"type": "FixedLength", "length": 3})
    case("UnicodeScripts", pre_tokenizer={"type": "UnicodeScripts"}, may_refuse="UnicodeScripts")
    first = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
    for step in ({"type": "WhitespaceSplit"}, {"type": "Digits", "individual_digits": True}, split({"String": " "}, "Removed"), split({"Regex": "[a-z]"}, "Removed"), split({"Regex": "a*"}, "Isolated"), split({"Regex": "(?=[ a-z])"}, "MergedWithNext")):
        case(f"{json.dumps(step)}, then Metaspace first", pre_tokenizer=in_turn(step, first))
    case("as Falcon", pre_tokenizer=in_turn({"type": "Punctuation", "behavior": "Contiguous"}, dict(BL, use_regex=True), {"type": "Digits", "individual_digits": False}, split({"Regex": "[0-9][0-9][0-9]"})))
    case("as SmolLM2", pre_tokenizer=in_turn({"type": "Digits", "individual_digits": True}, dict(BL, use_regex=True)))


# Regular expressions of real tokenizers, which have to be done, and others, which may be refused.
REAL = {
    "GPT-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "LLaMA 3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "Qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "Qwen3.5": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "Mistral Nemo": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "BLOOM": r" ?[^(\s|[.,!?…。，、।۔،])]+",
    "cl100k, possessive": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "DeepSeek": r"[一-龥぀-ゟ゠-ヿ]+",
    "DeepSeek, words": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "Kimi": r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|\s+",
    "digits in threes": r"\d{1,3}(?=(?:\d{3})*\b)",
}
OTHER = r"""(?i:s) (?i:k) (?i:ss) (?i:st) (?i)[a-f]+ (?i)[^a-f]+ (?i)[r-t] (?i)[^r-t] (?i)\p{Lu} (?i)[\p{Lu}] (?i)é a(?i)b|c [\w] \w [\d] [^\w] \W [^\W] [\W] \S [\S] \D \p{N}{1,3}+ \p{N}{2}? \p{N}{1,2}?
a{,2} a{2,} a{x a{1} a{,} \s+$ a$ $ b$|\n$ ^a ^ ^\s \Aa b\z c\Z \ba b\b \Bb \h \H \R \X a\Kb [[:^alpha:]] [[:alpha:]] [[:alnum:]]+ [[:punct:]] [[:upper:]] [[:lower:]] [[:graph:]] [[:word:]] [[:space:]] [a-z&&[aeiou]] [^a-z&&[aeiou]]
[a-z&&aeiou] \p{^L} \P{^L} \P{L} \x{61}\u0062\x61 []a] [a-] [-a] [a-c-e] [\w-a] (?>a+)ab a++ab a*+ a?+a (?<n>a)b (a)\1 (?<=a|bc)b (?<=a+)b (?<!a)b (?<!^)a \N+ \O .+ (?m:.+) (?x:_a_b_) (?-i:a) (?#c)a \p{lu} \p{Han}+
\p{IsGreek} \p{Greek}+ a| x* \s* a+? a*?b a** a+* (?:a|b){2}+ \r?\n \cA [\b] \e|\a|\f|\v|\t \y \/ \- \_ \' \077 \0 \p{Any} \p{Assigned} \pL [[a-c]x] [[^a-c]x] [a&&b] [\n-\r] [^\n] (?=a) (?!a). (?i:ff) (?i:i) [.] [|] [(] [)] [{}] [\[\]]
(?:) () (a|ab)(c|b) a{0} (?:a*)* (?:a|)+b \p{L}\p{M}* [\p{L}\p{M}]+ [\p{L}--a] [a[b[c]]] \G \g<1> (?~a) (?i:'S|[A-C]) [^\S\n]+ [\s\S] [\d\D] \p{Lowercase} \p{Nl} \p{Emoji} \p{Cn} \p{C} \p{Sc} a(?=b)b|a(?!b) ((?<=a)b)+ é 🙂+ [🙂𝒜] [^🙂]""".split()


def regexes():
    for name, pattern in REAL.items():
        case(f"the pattern of {name}", pre_tokenizer=split({"Regex": pattern}))
    for pattern in OTHER:
        for behavior in ("Isolated", "Removed"):
            case(f"/{pattern}/ {behavior}", pre_tokenizer=split({"Regex": pattern}, behavior), may_refuse="regular expression")


def normalizers():
    plain = {"NFC": {}, "NFD": {}, "NFKC": {}, "NFKD": {}, "Lowercase": {}, "StripAccents": {}, "Nmt": {}, "ByteLevel": {}}
    for name, fields in plain.items():
        case(f"normalizer {name}", normalizer={"type": name, **fields})
    for left, right in itertools.product((False, True), repeat=2):
        case(f"Strip {left} {right}", normalizer={"type": "Strip", "strip_left": left, "strip_right": right})
    case("Prepend", normalizer={"type": "Prepend", "prepend": "▁"})
    for pattern, content in (({"String": " "}, "▁"), ({"String": "a"}, ""), ({"String": "a"}, "$&b"), ({"String": "."}, "$0"), ({"Regex": r"\s+"}, " "), ({"Regex": r"(\d)"}, "<$1>"), ({"Regex": "a*"}, "x"), ({"Regex": "^"}, "_")):
        case(f"Replace {json.dumps(pattern)} by {content!r}", normalizer={"type": "Replace", "pattern": pattern, "content": content})
    for clean, chinese, accents, lower in itertools.product((False, True), (False, True), (None, False, True), (False, True)):
        case(f"BertNormalizer {clean} {chinese} {accents} {lower}", normalizer={"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": accents, "lowercase": lower})
    case("normalizer Sequence", normalizer={"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]})
    case("Precompiled", normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="}, may_refuse="Precompiled")
    first = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
    for norm in ({"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, {"type": "Prepend", "prepend": "_"}, {"type": "Lowercase"}, {"type": "NFKC"}, {"type": "Replace", "pattern": {"String": " "}, "content": "__"}):
        case(f"{norm['type']}, then Metaspace first", normalizer=norm, pre_tokenizer=first, may_refuse="Metaspace" if norm["type"] == "Strip" else None)


def added(content, at, **flags):
    return {"id": at, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **flags}


def added_tokens():
    size = len(MODELS["ends"]["vocab"])
    texts = ["a <x> b <x>", "<x>", "in<x>side  <x>  end", "word<x> <x>word <X>\n<x>", "<x><x>", " <x> ", "zqx azqx zqxb a zqx b", "_zqx zqx1 (zqx) zqx.", "ézqx zqx½ zqx\u0301", "<x>zqx<x> \u0085<x>\ufeff"]
    norms = {"no normalizer": None, "Lowercase": {"type": "Lowercase"}, "Prepend and Replace": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}, "Strip": {"type": "Strip", "strip_left": True, "strip_right": True}}
    for (label, norm), flags in itertools.product(norms.items(), itertools.product((False, True), repeat=4)):
        named = dict(zip(("single_word", "lstrip", "rstrip", "normalized"), flags))
        on = " ".join(k for k, v in named.items() if v) or "plain"
        tokens = [added("<x>", size, **named), added("zqx", size + 1, **named), added("<X>", size + 2)]
        first = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
        case(f"added, {on}, {label}", texts=texts, added_tokens=tokens, normalizer=norm, pre_tokenizer=None if norm else first)
    case("added, overlapping", texts=["<q><q>", "<q><r>", "a<q><q><q>b", "q><r"], added_tokens=[added("<q>", size), added("<q><q>", size + 1), added("q><r", size + 2)])
    case("added, in the vocabulary", texts=["abab a"], added_tokens=[added("a", MODELS["ends"]["vocab"]["a"])])
    case("added, with an id that it does not get", texts=["a<x>b"], added_tokens=[added("<x>", size + 7)], may_refuse="<x>")
    case("added, alike when normalized", texts=["a<x>b<X>"], normalizer={"type": "Lowercase"}, added_tokens=[added("<x>", size, normalized=True), added("<X>", size + 1, normalized=True)], may_refuse="alike")


def models():
    rng = random.Random(5)
    letters = "abcde"
    for n in range(24):
        base = list(letters) + (["é", "🙂"] if n % 3 else [])
        bytes_ = [f"<0x{b:02X}>" for b in range(256) if n % 5 or b != 0xC3] if n % 2 else []
        pairs, tokens = [], ["<unk>", *base, *bytes_]
        prefix, suffix = ("##" if n % 8 == 3 else None), ("$" if n % 8 == 5 else None)
        tokens += [prefix + c for c in base] if prefix else [c + suffix for c in base] if suffix else []
        for _ in range(30):
            a, b = rng.choice(tokens[1:]), rng.choice(tokens[1:])
            if a in bytes_ or b in bytes_ or len(a + b) > 7 or (suffix and a.endswith(suffix)) or (prefix and not b.startswith(prefix)):
                continue
            made = a + (b[len(prefix):] if prefix else b)
            tokens.append(made)
            pairs.append([a, b] if n % 4 else f"{a} {b}")
        vocab = {t: i for i, t in enumerate(dict.fromkeys(tokens))}
        model = {"type": "BPE", "dropout": None, "unk_token": "<unk>" if n % 7 else None, "continuing_subword_prefix": prefix, "end_of_word_suffix": suffix, "fuse_unk": bool(n & 4), "byte_fallback": bool(n & 1), "ignore_merges": bool(n & 8), "vocab": vocab, "merges": pairs}
        texts = ["".join(rng.choice(letters) for _ in range(40)) for _ in range(3)] + ["".join(rng.choice("abcdeéü🙂x ") for _ in range(60)) for _ in range(3)] + ["abcé", "xx yy", "a" * 30, "".join(rng.choice("abcdeé x") for _ in range(700))]
        case(f"BPE {n}", model=model, texts=texts, pre_tokenizer={"type": "WhitespaceSplit"} if n % 2 else None)
    for n in range(16):
        tokens = list(dict.fromkeys("".join(rng.choice(letters) for _ in range(rng.randint(1, 4))) for _ in range(25)))
        bytes_ = [f"<0x{b:02X}>" for b in range(256)] if n % 2 else []
        entries = [["<unk>", 0.0]] + [[t, round(-rng.random() * 10, rng.choice((0, 3)))] for t in tokens if t not in bytes_] + [[t, -12.0] for t in bytes_]
        model = {"type": "Unigram", "unk_id": 0, "vocab": entries, "byte_fallback": bool(n % 4 in (1, 2))}
        texts = ["".join(rng.choice(letters) for _ in range(30)) for _ in range(4)] + ["abé🙂🙂cx", "<unk>a", "é", "", "".join(rng.choice("abcdeé x") for _ in range(300))]
        case(f"Unigram {n}", model=model, texts=texts)
    words = {t: i for i, t in enumerate(["[UNK]", "the", "mill", "##er", "##s", "un", "##want", "##ed", "a", "##a"])}
    case("WordPiece", model={"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9, "vocab": words}, texts=["the millers", "unwanted aaa aaaaaaaaaa", "mills x", "unmill"], pre_tokenizer={"type": "Whitespace"})
    case("WordLevel", model={"type": "WordLevel", "unk_token": "[UNK]", "vocab": words}, texts=["the millers a", "un x"], pre_tokenizer={"type": "Whitespace"})


def post_processors():
    a, s = {"Sequence": {"id": "A", "type_id": 0}}, lambda name: {"SpecialToken": {"id": name, "type_id": 0}}
    special = {"x": {"id": "x", "ids": [1, 2], "tokens": ["a", "b"]}, "y": {"id": "y", "ids": [3], "tokens": ["c"]}}
    template = lambda *single: {"type": "TemplateProcessing", "single": list(single), "pair": [a, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": special}
    texts = ["ab", ""]
    for name, value in {"both ends": template(s("x"), a, s("y"), s("x")), "none": template(a), "twice": template(a, a), "Roberta": {"type": "RobertaProcessing", "sep": ["b", 2], "cls": ["a", 1], "trim_offsets": True, "add_prefix_space": True},
                        "Bert": {"type": "BertProcessing", "sep": ["b", 2], "cls": ["a", 1]}, "ByteLevel": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
                        "Sequence": {"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}, template(s("x"), a)]}, "Sequence of two": {"type": "Sequence", "processors": [template(s("x"), a), template(a, s("y"))]}}.items():
        case(f"post-processor {name}", texts=texts, post_processor=value, may_refuse={"twice": "TemplateProcessing", "Sequence of two": "Sequence"}.get(name))


def random_pipelines():
    rng = random.Random(11)
    pres = [dict(BL, use_regex=True), BL, dict(BL, add_prefix_space=True), {"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "MergedWithNext"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False},
            split({"Regex": r"\s+"}, "MergedWithNext"), split({"Regex": REAL["Qwen2"]}), split({"String": " "}, "MergedWithPrevious"), {"type": "WhitespaceSplit"}, {"type": "FixedLength", "length": 2}, split({"Regex": r"[a-z]"}, "Contiguous", True)]
    norms = [None, {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    size = len(MODELS["ends"]["vocab"])
    for n in range(50):
        steps = [rng.choice(pres) for _ in range(rng.randint(1, 3))]
        tokens = [added("<x>", size, **{k: rng.random() < 0.4 for k in ("single_word", "lstrip", "rstrip", "normalized")}), added("zqx", size + 1, normalized=rng.random() < 0.5)]
        first = any(step.get("prepend_scheme") == "first" for step in steps)
        case(f"drawn {n}", may_refuse="Metaspace" if first else None, normalizer=rng.choice(norms), pre_tokenizer=in_turn(*steps) if n % 2 or len(steps) > 1 else steps[0], added_tokens=tokens[: rng.randint(0, 2)])


def beside(name, config=None, definition_=None, may_refuse=None, **files):
    """Files beside a tokenizer.json, as AutoTokenizer reads them."""
    base = definition_ or definition("small", pre_tokenizer=dict(BL, use_regex=True), added_tokens=[added("<s>", 0, special=True), added("</s>", 1, special=True)], post_processor=BOS)
    texts = ["a <t> b", "x the y", "a </s>b", "a  <pad> b", " a"]
    with tempfile.TemporaryDirectory() as folder:
        names = {"tokenizer_config.json": config, "special_tokens_map.json": files.get("map"), "added_tokens.json": files.get("added")}
        for file, value in {"tokenizer.json": base, **{k: v for k, v in names.items() if v is not None}}.items():
            (Path(folder) / file).write_text(json.dumps(value))
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            right = [tokenizer(text)["input_ids"] for text in texts]
        except BaseException as error:
            right = None
            print(name, "is refused:", str(error)[:90])
    SIDES.append({"name": name, "definition": base, "files": {k: v for k, v in names.items() if v is not None}, "texts": texts, "ids": right, "may_refuse": may_refuse})


BOS = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}


def side_files():
    tokens = ["<s>", "</s>", *byte_chars(), "▁", "th", "the", "Ġthe", "ab"]
    vocab = {t: i for i, t in enumerate(tokens)}
    MODELS["small"] = {**MODELS["ends"], "unk_token": None, "end_of_word_suffix": None, "vocab": vocab, "merges": ["t h", "th e", "Ġ the", "a b"]}
    fast = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    t = lambda content, **k: {**added(content, 0, special=True, **k), "id": None}
    t = lambda content, **k: {key: value for key, value in {**added(content, 0, special=True), **k}.items() if key != "id"}
    n = len(tokens)
    beside("no other file")
    beside("plain", fast)
    for flags in ({"add_bos_token": True}, {"add_bos_token": False}, {"add_eos_token": True}, {"add_prefix_space": True}, {"add_prefix_space": False}):
        beside(f"fast {flags}", {**fast, **flags})
        beside(f"GPT-2 {flags}", {**fast, **flags, "tokenizer_class": "GPT2Tokenizer", "unk_token": "</s>"})
        beside(f"LLaMA class over bytes {flags}", {**fast, **flags, "tokenizer_class": "LlamaTokenizerFast", "unk_token": "</s>"})
    beside("listed", {**fast, "added_tokens_decoder": {str(n): t("<t>"), str(n + 1): t("<pad>", lstrip=True)}})
    beside("listed, not in order", {**fast, "added_tokens_decoder": {str(n + 1): t("<pad>"), str(n): t("<t>")}})
    beside("listed, plain and normalized", {**fast, "added_tokens_decoder": {str(n): t("<t>", special=False, normalized=True)}})
    beside("listed, elsewhere", {**fast, "added_tokens_decoder": {str(n + 5): t("<t>")}}, may_refuse="<t>")
    beside("listed, found otherwise", {**fast, "added_tokens_decoder": {"1": t("</s>", lstrip=True, rstrip=True)}})
    beside("listed, a token of the model", {**fast, "added_tokens_decoder": {str(vocab["the"]): t("the")}})
    beside("a role alone", {**fast, "pad_token": "<pad>"})
    beside("a role alone, as a token", {**fast, "pad_token": {"__type": "AddedToken", **t("<pad>", lstrip=True)}})
    beside("a role of the model's own", {**fast, "image_token": "<t>", "pad_token": "<pad>"})
    beside("additional", {**fast, "additional_special_tokens": ["<t>", "<pad>"]})
    beside("extra", {**fast, "extra_special_tokens": ["<pad>", "<t>"], "pad_token": "the"})
    beside("extra, by name", {**fast, "extra_special_tokens": {"t_token": "<t>"}})
    beside("roles of every kind", {**fast, "image_token": "<t>", "extra_special_tokens": ["the"], "pad_token": "<pad>"})
    beside("special_tokens_map.json", fast, map={"pad_token": t("<pad>", lstrip=True)})
    beside("special_tokens_map.json, with a list beside", {**fast, "added_tokens_decoder": {}}, map={"pad_token": t("<pad>", lstrip=True)})
    beside("special_tokens_map.json alone", None, map={"pad_token": t("<pad>", lstrip=True), "additional_special_tokens": ["<t>"]})
    beside("added_tokens.json", fast, added={"<t>": n})
    beside("added_tokens.json, special", {**fast, "pad_token": "<pad>"}, added={"<pad>": n, "<t>": n + 1})
    beside("added_tokens.json, elsewhere", fast, added={"<t>": n + 9}, may_refuse="<t>")
    beside("split_special_tokens", {**fast, "split_special_tokens": True}, may_refuse="split_special_tokens")


def sets():
    """Membership of every assigned character of Unicode 16, as digests; unassigned ones differ from engine to engine."""
    from tokenizers import Regex, normalizers as N, pre_tokenizers as P
    chars = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    whole = "".join(chars)
    hits = lambda pattern: {c for piece, _ in P.Split(Regex(pattern), "removed", invert=True).pre_tokenize_str(whole) for c in piece}
    unassigned = hits(r"\p{Cn}")
    assigned = [c for c in chars if c not in unassigned]
    ranges = []
    for c in map(ord, assigned):
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    digest = lambda values: hashlib.sha256("\n".join(values).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    props = "L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp Cc Cf Co Han Hiragana Katakana Hangul Latin Cyrillic Greek Arabic Hebrew Devanagari Thai Common Inherited Alphabetic Lowercase Uppercase White_Space".split()
    patterns = [rf"\p{{{p}}}" for p in props] + [r"\s", r"\d", r"\w", r"\h", ".", r"[\w]"] + [f"[[:{p}:]]" for p in "alpha alnum digit lower upper space blank punct cntrl word xdigit ascii".split()]
    member = {p: (lambda found: digest([c for c in assigned if c in found]))(hits(p)) for p in patterns}
    forms = {"NFC": N.NFC(), "NFD": N.NFD(), "NFKC": N.NFKC(), "NFKD": N.NFKD(), "Lowercase": N.Lowercase(), "StripAccents": N.StripAccents(), "Nmt": N.Nmt()}
    mapped = {name: digest([form.normalize_str("a" + c + "\u0334") for c in assigned]) for name, form in forms.items()}
    bert = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": True, "lowercase": True}
    mapped["BertNormalizer"] = digest([N.BertNormalizer(True, True, True, True).normalize_str(c) for c in assigned])
    # Every character between two letters, each alone: in how many pieces?
    cuts = {}
    for name, step in {"Digits": P.Digits(True), "Punctuation": P.Punctuation("isolated"), "WhitespaceSplit": P.WhitespaceSplit(), "Whitespace": P.Whitespace()}.items():
        cuts[name] = digest([" ".join(piece for piece, _ in step.pre_tokenize_str("a" + c + "b")) for c in assigned])
    return {"assigned": ranges, "member": member, "mapped": mapped, "bert": bert, "cuts": cuts}


MODELS["ends"] = boundary_model()
pre_tokenizers(), regexes(), normalizers(), added_tokens(), models(), post_processors(), random_pipelines(), side_files()
versions = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__}
shown = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
small = MODELS.pop("small")
for side in SIDES:
    side["definition"] = {**side["definition"], "model": "small"}
lines = ",\n".join(shown(one) for one in CASES)
sides = ",\n".join(shown(one) for one in SIDES)
TARGET.write_text(f'{{"versions":{shown(versions)},\n"texts":{shown(TEXTS)},\n"models":{shown({**MODELS, "small": small})},\n"cases":[\n{lines}],\n"sides":[\n{sides}],\n"sets":{shown(sets())}}}\n')
print(len(CASES), "cases,", len(SIDES), "with files beside,", TARGET.stat().st_size, "bytes")
