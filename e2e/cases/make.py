#!/usr/bin/env python3
"""Makes every input of this folder, and its correct outcome with the reference libraries.

Needs tokenizers 0.23, transformers 5.24, torch, pyarrow, safetensors, datasets 5.2, zstandard, duckdb.
`python make.py` writes into its own folder.
"""
import copy, gzip, hashlib, json, math, os, random, shutil, struct, sys, tempfile
from pathlib import Path
import numpy as np
import torch
import pyarrow as pa, pyarrow.parquet as pq
import safetensors.torch as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers as N, pre_tokenizers as P, processors as PP, trainers

HERE = Path(__file__).resolve().parent
SEQLEN, WINDOWS = 64, 6

# ---------------------------------------------------------------- sentences of our own

WHO = ["The miller", "A tired clerk", "Our neighbour", "The night train", "Old Marta", "The second pilot", "A grey cat", "Nobody", "The teacher's son", "One of the sailors"]
DID = ["counted", "carried", "mended", "forgot", "sold", "painted", "measured", "borrowed", "wrapped", "found"]
WHAT = ["twelve sacks of flour", "a broken lamp", "the green door", "three letters", "a basket of pears", "the long rope", "9 silver spoons", "an empty drawer", "the map of 1874", "half a loaf"]
WHEN = ["before noon", "after the rain", "in the harbour", "without a word", "for the second time", "under the bridge", "at 7:45", "as quietly as possible", "near the old well", "on market day"]


def story(seed, sentences):
    r = random.Random(seed)
    out = []
    for i in range(sentences):
        s = f"{r.choice(WHO)} {r.choice(DID)} {r.choice(WHAT)} {r.choice(WHEN)}."
        if r.random() < 0.2: s = s[:-1] + f", and then {r.choice(WHO).lower()} {r.choice(DID)} {r.choice(WHAT)}."
        out.append(s + ("\n\n" if r.random() < 0.15 else "\n" if r.random() < 0.15 else " "))
    return "".join(out).strip() + "\n"


CODE = "def total(rows):\n    count = 0\n    for row in rows:\n        if row:\n            count += 1\n    return count\n"

# ---------------------------------------------------------------- tokenizers

def byte_level(text, size=288, bos=True):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = P.ByteLevel(add_prefix_space=False, use_regex=True)
    t.train_from_iterator(text.split("\n"), trainers.BpeTrainer(vocab_size=size, special_tokens=["<s>", "</s>"], initial_alphabet=P.ByteLevel.alphabet(), show_progress=False))
    t.decoder = decoders.ByteLevel()
    d = json.loads(t.to_str())
    if bos: d["post_processor"] = template([special("<s>"), seq("A")], {"<s>": 0})
    return d


def visible(d):
    """Merges for every pair of a dozen signs, so that it shows in the ids where a text was cut."""
    m = d["model"]; signs = ["Ġ", "1", "2", "3", "a", "b", ".", ",", "_", "Â", "Ù", "ï", "Ċ"]
    for x in signs:
        for y in signs:
            if x + y not in m["vocab"]: m["vocab"][x + y] = len(m["vocab"]); m["merges"].append([x, y])
    return d


def llama_like(text, size=380):
    """Pieces with U+2581 for a space, bytes for what the vocabulary lacks, runs of spaces as tokens."""
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.pre_tokenizer = P.Metaspace(prepend_scheme="always", split=True)
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    t.train_from_iterator(text.split("\n"), trainers.BpeTrainer(vocab_size=size - 3, special_tokens=["<unk>", "<s>", "</s>"] + bytes_, show_progress=False))
    d = json.loads(t.to_str())
    d["added_tokens"] = [a for a in d["added_tokens"] if a["id"] < 3]
    m = d["model"]
    for a, b in [("▁", "▁"), ("▁▁", "▁▁"), ("▁▁▁▁", "▁▁▁▁")]:
        m["vocab"][a + b] = len(m["vocab"]); m["merges"].append([a, b])
    d["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    d["pre_tokenizer"] = None
    d["post_processor"] = template([special("<s>"), seq("A")], {"<s>": 1})
    return d


seq = lambda i: {"Sequence": {"id": i, "type_id": 0}}
special = lambda t: {"SpecialToken": {"id": t, "type_id": 0}}


def template(single, ids):
    return {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {k: {"id": k, "ids": v if isinstance(v, list) else [v], "tokens": [k] * (len(v) if isinstance(v, list) else 1)} for k, v in ids.items()}}


def added(content, id, **k):
    return dict(dict(id=id, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False), **k)


def rust(definition, texts, special=True):
    t = Tokenizer.from_str(json.dumps(definition)); t.no_truncation(); t.no_padding()
    return [t.encode(x, add_special_tokens=special).ids for x in texts]


def compact(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")

# ---------------------------------------------------------------- models

BASE = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=288,
            max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=False, bos_token_id=0, eos_token_id=1)


def fresh(seed=3, std=0.3, dtype=torch.float16, **kw):
    """A random LLaMA: config as a dict, tensors."""
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(seed)
    m = LlamaForCausalLM(LlamaConfig(**dict(BASE, **kw)))
    for p in m.parameters():
        if p.ndim > 1: torch.nn.init.normal_(p, std=std)
    with tempfile.TemporaryDirectory() as d:
        m.save_pretrained(d); c = json.load(open(d + "/config.json")); t = st.load_file(d + "/model.safetensors")
    c.pop("transformers_version", None); c["dtype"] = str(dtype).split(".")[1]
    return c, {k: v.to(dtype) for k, v in t.items()}


def save(path, tensors, metadata={"format": "pt"}):
    path.parent.mkdir(parents=True, exist_ok=True)
    st.save_file({k: v.contiguous() for k, v in tensors.items()}, str(path), metadata=metadata)


def perplexity(config, tensors, ids, seqlen=SEQLEN, windows=WINDOWS, dtype=torch.float32):
    """exp of the mean over windows, which do not overlap, of the mean next-token cross-entropy; weights as float32."""
    from transformers import AutoModelForCausalLM
    with tempfile.TemporaryDirectory() as d:
        json.dump(config, open(d + "/config.json", "w")); save(Path(d) / "model.safetensors", tensors)
        m = AutoModelForCausalLM.from_pretrained(d, dtype=dtype).eval()
    n = min(windows, len(ids) // seqlen); total = 0.0
    with torch.no_grad():
        for i in range(n):
            w = torch.tensor([ids[i * seqlen:(i + 1) * seqlen]])
            total += torch.nn.functional.cross_entropy(m(w).logits.float()[0, :-1], w[0, 1:]).item()
    return math.exp(total / n)


def packcols(x, bits):
    p, q = x.shape
    b = ((x[:, None, :] >> np.arange(bits)[None, :, None]) & 1).reshape(p * bits, q).astype(np.uint64)
    w = (b.reshape(-1, 32, q) << np.arange(32, dtype=np.uint64)[None, :, None]).sum(1)
    return w.astype(np.uint32).view(np.int32)


def packrows(x, bits):
    return np.ascontiguousarray(packcols(np.ascontiguousarray(x.T), bits).T)


def quantize(W, bits=4, group=32, sym=True):
    """W [out, in] -> codes [in, out], scales and zeros [groups, out], group of each input."""
    q, p = W.shape; g = p if group == -1 else group; gi = np.arange(p) // g; G = int(gi.max()) + 1; M = 2 ** bits - 1
    sc = np.zeros((G, q), np.float32); z = np.zeros((G, q), int); codes = np.zeros((p, q), int)
    for k in range(G):
        w = W[:, gi == k]; lo = np.minimum(w.min(1), 0); hi = np.maximum(w.max(1), 0)
        if sym: a = np.maximum(-lo, hi); lo, hi = -a, a
        s = ((hi - lo) / M).astype(np.float16).astype(np.float32); s[s == 0] = 1e-3
        zz = np.full(q, 2 ** (bits - 1)) if sym else np.clip(np.round(-lo / s), 0, M).astype(int)
        sc[k] = s; z[k] = zz; codes[gi == k] = np.clip(np.round(w / s[:, None]) + zz[:, None], 0, M).astype(int).T
    return codes, sc, z, gi


def gptq(tensors, bits=4, group=32, sym=True, v2=False, head=False):
    """Packed tensors, and the plain ones that they stand for."""
    out, plain = {}, {}
    for k, v in tensors.items():
        if not (k.endswith("proj.weight") or (head and k == "lm_head.weight")):
            out[k] = v; plain[k] = v.float(); continue
        c, s, z, gi = quantize(v.float().numpy(), bits, group, sym); n = k[:-7]
        plain[k] = torch.tensor((s[gi] * (c - z[gi])).T.astype(np.float32))
        out.update({n + ".qweight": torch.tensor(packcols(c, bits)), n + ".qzeros": torch.tensor(packrows(z if v2 else (z - 1) & (2 ** bits - 1), bits)),
                    n + ".scales": torch.tensor(s).half(), n + ".g_idx": torch.tensor(gi.astype(np.int32))})
    return out, plain


QC = dict(quant_method="gptq", bits=4, group_size=32, desc_act=False, sym=True, checkpoint_format="gptq")

# ---------------------------------------------------------------- the book of cases

class Book:
    def __init__(self, here):
        self.here = here; self.cases = []

    def add(self, id, kind, do, right, source, **more):
        assert all(c["id"] != id for c in self.cases), id
        self.cases.append(dict(id=id, kind=kind, **more, do=do, right=right, source=source))

    def write(self, about):
        lines = ",\n".join(json.dumps(c, ensure_ascii=False) for c in self.cases)
        (self.here / "cases.json").write_text('{"about": ' + json.dumps(about, ensure_ascii=False) + ',\n"cases": [\n' + lines + "\n]}\n", encoding="utf-8")


docs = lambda *d: {"documents": list(d)}
refused = lambda *names: {"refused": {"names_one_of": list(names)}}
jl = lambda *rows: "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)

# ---------------------------------------------------------------- texts

DS = "datasets 5.2.0 (load_dataset)"
PA = "pyarrow 26 (read_table)"
TURN = [("human", "Which door is green?"), ("gpt", "The one behind the mill.\nIt was painted on market day.")]
TURN2 = [("human", "Who carried the rope?"), ("gpt", "A tired clerk did."), ("human", "And where to?"), ("gpt", "To the harbour.")]
sharegpt = lambda t: [{"from": a, "value": b} for a, b in t]
chat = lambda t: [{"role": {"human": "user", "gpt": "assistant"}[a], "content": b} for a, b in t]
joined = lambda t: "\n\n".join(b for _, b in t)


def text_cases(book):
    T = book.here / "text"; T.mkdir(exist_ok=True)
    put = lambda name, data: (T / name).write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))

    def text(id, name, right, source, do="Read the file as a text without naming a column.", **more):
        book.add(id, "file" if id.startswith("file-") else "text", do, right, source, files=[f"text/{name}"], **more)

    # which field of a row is the text
    rows = [{"id": f"talk-{i}", "conversations": sharegpt(t)} for i, t in enumerate([TURN, TURN2])]
    put("sharegpt-id.jsonl", jl(*rows))
    text("text-sharegpt-id", "sharegpt-id.jsonl", [docs(joined(TURN), joined(TURN2)), refused("conversations")], "the turns of the conversations, joined by an empty line as when the column is named")
    pq.write_table(pa.Table.from_pylist(rows), T / "sharegpt-id.parquet")
    text("text-sharegpt-id-parquet", "sharegpt-id.parquet", [docs(joined(TURN), joined(TURN2)), refused("conversations")], "as text-sharegpt-id")
    rows = [{"system": "Answer in few words.", "conversations": sharegpt(TURN)}]
    put("sharegpt-system.jsonl", jl(*rows))
    text("text-sharegpt-system", "sharegpt-system.jsonl", [docs(joined(TURN)), docs("Answer in few words.\n\n" + joined(TURN)), refused("conversations")], "the turns, with or without the system text")
    put("sharegpt-plain.jsonl", jl({"conversations": sharegpt(TURN)}))
    text("text-sharegpt-plain", "sharegpt-plain.jsonl", [docs(joined(TURN))], "the turns")
    put("instruction.jsonl", jl({"instruction": "Name a colour.", "input": "", "output": "Green."}, {"instruction": "Name a fruit.", "input": "", "output": "Pear."}))
    text("text-instruction-fields", "instruction.jsonl", [refused("instruction", "output", "column")], "several text fields and none of them plainly the text: ask for one, by their names")
    put("one-object.json", json.dumps({"version": "1", "data": [{"text": "The rope was long."}, {"text": "Three letters came."}]}) + "\n")
    text("text-rows-below-data", "one-object.json", [docs("The rope was long.", "Three letters came."), refused("data", "column")], DS + " with field=\"data\"; never the text \"1\"")
    three = ["The rope was long.", "Three letters came.", "Nobody forgot the map."]
    objs = [{"text": t} for t in three]

    # JSON in other dresses
    put("one-line.json", json.dumps(objs)); put("pretty.json", json.dumps(objs, indent=2))
    for n in ("one-line.json", "pretty.json"):
        text("text-array-" + n[:-5], n, [docs(*load_json(T / n)), refused("array", "list")], DS)
    put("talks.json", json.dumps([{"conversations": sharegpt(TURN)}, {"conversations": sharegpt(TURN2)}], indent=1))
    text("text-array-of-conversations", "talks.json", [docs(joined(TURN), joined(TURN2)), refused("array", "list")], "the rows of the array")
    put("bom.jsonl", b"\xef\xbb\xbf" + jl(*objs).encode()); text("text-bom-jsonl", "bom.jsonl", [docs(*load_json(T / "bom.jsonl"))], DS)
    put("crlf.jsonl", jl(*objs).replace("\n", "\r\n")); text("text-crlf-between-rows", "crlf.jsonl", [docs(*load_json(T / "crlf.jsonl"))], DS)
    put("cr.jsonl", jl(*objs).replace("\n", "\r")); text("text-cr-between-rows", "cr.jsonl", [docs(*three), refused("carriage return", "\\r", "line ends", "line endings")], DS)
    put("nan.jsonl", '{"text": "The rope was long.", "score": NaN}\n{"text": "Three letters came.", "score": Infinity}\n')
    text("text-nan-beside", "nan.jsonl", [docs(*three[:2])], "Python 3 json.loads, which reads what its json.dumps writes")
    put("null-text.jsonl", jl({"text": three[0]}, {"text": None}, {"text": three[1]}))
    text("text-null", "null-text.jsonl", [docs(three[0], "", three[1]), docs(three[0], three[1])], DS + " gives None; the product's own parquet reader takes it as an empty text")
    put("missing-field.jsonl", jl({"text": three[0]}, {"note": 7}, {"text": three[1]}))
    text("text-missing-field", "missing-field.jsonl", [docs(three[0], "", three[1]), docs(three[0], three[1]), refused("no text", "no field", "no \"text\"", "missing")], DS + " gives None for the row")
    put("blank-lines.jsonl", "\n".join(["", jl(objs[0]).strip(), "", "   ", jl(objs[1]).strip()])); text("text-blank-lines", "blank-lines.jsonl", [docs(*three[:2])], DS)
    put("separator.jsonl", '{"text": "first\u2028second"}\n{"text": "a\u0085b"}\n'); text("text-unicode-line-separators", "separator.jsonl", [docs("first\u2028second", "a\u0085b")], DS)

    # conversations that hold more than texts
    call = [{"role": "user", "content": "Is it raining in the harbour?"}, {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"place": "harbour"}}}]},
            {"role": "tool", "name": "weather", "content": "rain"}, {"role": "assistant", "content": "Yes, it rains."}]
    right = [docs("Is it raining in the harbour?\n\n\n\nrain\n\nYes, it rains."), docs("Is it raining in the harbour?\n\nrain\n\nYes, it rains."), refused("null", "tool")]
    put("tool-call.jsonl", jl({"messages": call})); text("text-tool-call-null-content", "tool-call.jsonl", right, "a null content is no text; the other turns are there")
    put("tool-call-second.jsonl", jl({"messages": chat(TURN)}, {"messages": call}))
    text("text-tool-call-in-second-row", "tool-call-second.jsonl", [{"documents": [joined(TURN), r["documents"][0]]} for r in right[:2]] + right[2:], "as text-tool-call-null-content")
    flat = [[{"role": m["role"], "content": m["content"]} for m in call]]
    pq.write_table(pa.table({"messages": flat}), T / "tool-call.parquet"); text("text-tool-call-parquet", "tool-call.parquet", right, "as text-tool-call-null-content; a refusal must not name the very column that was taken as the one to name")
    put("image-part.jsonl", jl({"messages": [{"role": "user", "content": [{"type": "image", "url": "lamp.png"}, {"type": "text", "text": "What is this?"}]}, {"role": "assistant", "content": "A broken lamp."}]}))
    text("text-image-part", "image-part.jsonl", [refused("image"), docs("What is this?\n\nA broken lamp.")], "say what cannot be read, or leave the picture out and say so")
    put("text-parts.jsonl", jl({"messages": [{"role": "user", "content": [{"type": "text", "text": "What is this?"}]}, {"role": "assistant", "content": "A broken lamp."}]}))
    text("text-parts", "text-parts.jsonl", [docs("What is this?\n\nA broken lamp.")], "the texts of the parts")

    # plain text
    put("crlf.txt", "The rope was long.\r\nThree letters came.\r\n\r\nNobody forgot the map.\r\n")
    text("text-crlf", "crlf.txt", [docs(open(T / "crlf.txt", encoding="utf-8").read())], "Python open() and " + DS)
    put("cr.txt", "The rope was long.\rThree letters came.\r"); text("text-cr", "cr.txt", [docs(open(T / "cr.txt", encoding="utf-8").read())], "Python open()")
    put("lf.txt", "The rope was long.\nThree letters came.\n"); text("text-lf", "lf.txt", [docs("The rope was long.\nThree letters came.\n")], "Python open()")
    put("utf16.txt", "The rope was long.\n".encode("utf-16")); text("text-utf16", "utf16.txt", [refused("UTF-16"), docs("The rope was long.\n")], "its first bytes are a UTF-16 mark")
    put("table.csv", 'text,label\n"The rope was long, and wet.",1\nThree letters came.,0\n')
    text("text-csv", "table.csv", [docs("The rope was long, and wet.", "Three letters came."), refused("csv", "CSV", "table")], DS + " (csv); never the header and commas as text")
    put("table.tsv", "text\tlabel\nThe rope was long.\t1\n"); text("text-tsv", "table.tsv", [docs("The rope was long."), refused("tsv", "TSV", "table")], "as text-csv")

    # packed files
    a, b = jl(*objs[:2]).encode(), jl(objs[2]).encode()
    gz = lambda x: gzip.compress(x, mtime=0)
    put("one-member.jsonl.gz", gz(a)); text("file-gzip-one-member", "one-member.jsonl.gz", [docs(*three[:2])], "RFC 1952; Python gzip", where="page and terminal")
    put("two-members.jsonl.gz", gz(a) + gz(b)); text("file-gzip-two-members", "two-members.jsonl.gz", [docs(*three)], "RFC 1952, section 2.2; Python gzip", where="page and terminal")
    put("empty-member.jsonl.gz", gz(a) + gz(b"") + gz(b)); text("file-gzip-empty-member", "empty-member.jsonl.gz", [docs(*three)], "RFC 1952, section 2.2; Python gzip", where="page and terminal")
    put("padded.jsonl.gz", gz(a) + bytes(512)); text("file-gzip-zero-padding", "padded.jsonl.gz", [docs(*three[:2])], "Python gzip and gunzip read it, the latter with a warning", where="page and terminal")
    put("no-ending", gz(a)); text("file-gzip-without-ending", "no-ending", [docs(*three[:2]), docs(a.decode()), refused("gzip", "gz")], "its first bytes say gzip")
    import zstandard
    put("packed.jsonl.zst", zstandard.compress(a)); text("file-zstd", "packed.jsonl.zst", [docs(*three[:2]), refused("zstd", "zst", "Zstandard")], DS)
    with pa.OSFile(str(T / "table.arrow"), "wb") as f, pa.ipc.new_file(f, pa.schema([("text", pa.string())])) as w: w.write_table(pa.table({"text": three}))
    text("file-arrow", "table.arrow", [docs(*three), refused("arrow", "Arrow")], DS)

    # parquet
    def table(id, values, right=None, column="text", note="", **kw):
        pq.write_table(pa.table({column: values}), T / f"{id}.parquet", **kw)
        got = pq.read_table(T / f"{id}.parquet")[column].to_pylist()
        text("parquet-" + id, f"{id}.parquet", right or [docs(*[x or "" for x in got])], PA + note)
    some = [f"{WHO[i % 10]} {DID[i * 3 % 10]} {WHAT[i * 7 % 10]}." for i in range(60)]
    table("snappy", some); table("pages-v2", some, data_page_version="2.0"); table("nulls", [None if i % 3 == 0 else x for i, x in enumerate(some)], data_page_size=128)
    table("zstd", some, compression="zstd"); table("gzip", some, compression="gzip"); table("small-groups", some, row_group_size=7); table("dictionary-spill", some * 3, dictionary_pagesize_limit=64)
    for n, k, name in (("delta-length", dict(use_dictionary=False, column_encoding={"text": "DELTA_LENGTH_BYTE_ARRAY"}), "DELTA_LENGTH_BYTE_ARRAY"),
                       ("delta", dict(use_dictionary=False, column_encoding={"text": "DELTA_BYTE_ARRAY"}), "DELTA_BYTE_ARRAY"), ("brotli", dict(compression="brotli"), "BROTLI"), ("lz4", dict(compression="lz4"), "LZ4")):
        table(n, some, right=[docs(*some), refused(name)], note="; a refusal must not say that the file is damaged or has to be downloaded again", **k)
    pq.write_table(pa.table({"text": [x.encode() for x in some[:3]]}), T / "binary.parquet")
    text("parquet-binary", "binary.parquet", [docs(*some[:3]), refused("binary", "BINARY", "bytes")], PA + ": bytes that are UTF-8, without the mark that says so")
    long = ["y" * (3 << 20)] * 3
    pq.write_table(pa.table({"text": long}), T / "one-letter.parquet", compression="zstd")
    text("parquet-shrinks-a-thousandfold", "one-letter.parquet", [{"documents_sha256": [hashlib.sha256(x.encode()).hexdigest() for x in long], "lengths": [len(x) for x in long]}], PA)
    lists = [["a rope", "a lamp"], [], None, ["a map"]]
    pq.write_table(pa.table({"text": lists}), T / "lists.parquet")
    text("parquet-lists-of-texts", "lists.parquet", [refused("list"), docs("a rope\n\na lamp", "", "", "a map")], "say that the column holds lists of texts, or join them; naming \"text\" as the column to name is no help")
    messages = [chat(TURN), chat(TURN2), None, chat(TURN)]
    pq.write_table(pa.table({"messages": messages}), T / "messages.parquet"); text("parquet-messages", "messages.parquet", [docs(joined(TURN), joined(TURN2), "", joined(TURN))], PA)
    try:
        import duckdb
        con = duckdb.connect()
        con.execute(f"copy (select case when i = 3 then null else 'rope number ' || i::varchar end as text from range(10) r(i)) to '{T}/duckdb-null.parquet' (format parquet)")
        con.execute(f"copy (select [{{'role': 'user', 'content': 'Who carried rope ' || i::varchar || '?'}}, {{'role': 'assistant', 'content': 'A tired clerk.'}}] as messages from range(5) r(i)) to '{T}/duckdb-messages.parquet' (format parquet)")
        con.execute(f"copy (select 'rope number ' || i::varchar as text from range(10) r(i)) to '{T}/duckdb-plain.parquet' (format parquet)")
    except ImportError: pass
    got = pq.read_table(T / "duckdb-null.parquet")["text"].to_pylist()
    text("parquet-duckdb-null", "duckdb-null.parquet", [docs(*[x or "" for x in got])], PA + "; written by DuckDB 2.0.1")
    got = pq.read_table(T / "duckdb-messages.parquet")["messages"].to_pylist()
    text("parquet-duckdb-messages", "duckdb-messages.parquet", [docs(*["\n\n".join(m["content"] for m in r) for r in got])], PA + "; written by DuckDB 2.0.1")
    text("parquet-duckdb-plain", "duckdb-plain.parquet", [docs(*pq.read_table(T / "duckdb-plain.parquet")["text"].to_pylist())], PA + "; written by DuckDB 2.0.1")


def load_json(path):
    import datasets
    datasets.disable_progress_bars(); datasets.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as d: return list(datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=d)["text"])

# ---------------------------------------------------------------- splits

def splits_of(files):
    from datasets.data_files import get_data_patterns, resolve_pattern
    with tempfile.TemporaryDirectory() as d:
        for f in files: (Path(d) / f).parent.mkdir(parents=True, exist_ok=True); (Path(d) / f).write_text('{"text":"x"}\n')
        out = {}
        for split, patterns in get_data_patterns(d).items():
            got = []
            for p in patterns:
                try: got += [os.path.relpath(x, d) for x in resolve_pattern(p, d)]
                except FileNotFoundError: pass
            out[str(split)] = sorted(set(got))
        return out


def split_cases(book):
    def one(id, files, purpose, want, named=None):
        table = splits_of(files)
        assert want in table, (id, table)
        book.add("split-" + id, "split", f"A data set repository holds these files and no conversion to parquet; its text is asked for as {'owner/name' + (named or '')}, for {purpose}.",
                 [{"files": table[want]}], "datasets 5.2.0 (get_data_patterns): " + ", ".join(table), listing=files, name="owner/name" + (named or ""), purpose=purpose)
    one("train-test", ["train.jsonl", "test.jsonl"], "evaluation", "test"); one("train-test-calibration", ["train.jsonl", "test.jsonl"], "calibration", "train")
    one("training-testing", ["training.jsonl", "testing.jsonl"], "evaluation", "test"); one("training-testing-calibration", ["training.jsonl", "testing.jsonl"], "calibration", "train")
    one("numbered", ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet", "README.md"], "evaluation", "test")
    one("numbered-calibration", ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet", "README.md"], "calibration", "train")
    one("val", ["train.jsonl", "val.jsonl"], "evaluation", "validation"); one("folders", ["train/a.jsonl", "train/b.jsonl", "test/a.jsonl"], "evaluation", "test")
    one("word-inside", ["latest_notes_train.jsonl", "latest_notes_test.jsonl"], "evaluation", "test")
    book.add("split-only-train", "split", "A data set repository holds a train split alone; its text is asked for as owner/name, for evaluation.",
             [{"files": ["train.jsonl"], "and": "a warning that it is the train split"}, refused("train", "split")],
             "datasets 5.2.0 (get_data_patterns): train", listing=["train.jsonl"], name="owner/name", purpose="evaluation")

# ---------------------------------------------------------------- tokenizers

RS = "tokenizers 0.23.3 (Rust)"
WORDS = ["The miller counted 12 sacks, didn't he?", "two  spaces\n\nand  a\ttab ", " leading", "Übergröße café e\u0301 ﬁ Ⅷ ½ ²³", "a\u00a0b\u2003c\u200bd", "日本の川、中文。한국", "🙂🙃 𝒜𠮷", "foo_bar __x__ [a]--(b)...", "12345 3.14 ٣٤٥ १२", ""]
ODD = ["a \ufeffb", "a \u0085b", "a \ufeff b", "\u0085next \x0b up \x0c down", "a\ufeffb\u0085c"]
TAGS = ["a <x> b <x>", "<x>", "in<x>side  <x>  end", "word<x> <x>word <X>\n<x>", "<x><x>"]
REGEX = r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def tokenizer_cases(book):
    text = story(11, 300) + CODE
    g, l = visible(byte_level(text, 276)), llama_like(text)
    n, L = len(g["model"]["vocab"]), len(l["model"]["vocab"])
    v = lambda base, **k: dict(copy.deepcopy(base), **k)
    BL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    pre = lambda *p: v(g, pre_tokenizer={"type": "Sequence", "pretokenizers": [*p, BL]})
    split = lambda pattern, behavior, invert=False: {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
    R, S = lambda x: {"Regex": x}, lambda x: {"String": x}

    def tok(id, definition, texts=(), names=None, must=False, note="", special=True):
        """names: what a refusal has to name; must: in so common use that a refusal is no answer."""
        compact(book.here / "tokenizer" / f"{id}.json", definition)
        texts = list(texts) or WORDS
        right = [{"ids": rust(definition, texts, special)}]
        if not must: right.append(refused(*(names or [])))
        book.add("tokenizer-" + id, "tokenizer", "Load the file as tokenizer.json, with no other tokenizer file beside it; encode each text with the special tokens that its own template adds." + note,
                 right, RS, files=[f"tokenizer/{id}.json"], as_name="tokenizer.json", texts=texts)

    code = ["def f(x):\n    return x\n", "a  b   c", " x"]
    tok("byte-level", g, must=True); tok("byte-level-odd-spaces", g, ODD, must=True)
    tok("byte-level-prefix", v(g, pre_tokenizer=dict(BL, add_prefix_space=True, use_regex=True)), must=True)
    tok("byte-level-no-regex", v(g, pre_tokenizer=BL), WORDS + ODD, must=True)
    tok("llama", l, WORDS + code, must=True)
    for k in (True, False): tok("digits-" + ("each" if k else "runs"), v(g, pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": k}, dict(BL, use_regex=True)]}),
                                ["12 km", "4 ½ months", "year ٢٠٢٦ ٣", "x² and ² ³", "2026-11-30"], must=True)
    # added tokens
    a = lambda c, i=0, **k: added(c, n + i, **k)
    plus = lambda *t, base=g: v(base, added_tokens=base["added_tokens"] + list(t))
    tok("added-plain", plus(a("<x>")), TAGS, must=True); tok("added-lstrip", plus(a("<x>", lstrip=True)), TAGS, must=True); tok("added-rstrip", plus(a("<x>", rstrip=True)), TAGS, must=True)
    tok("added-overlapping", plus(a("<q>"), a("<q><q>", 1), a("q><r", 2)), ["<q><q>", "<q><r>", "a<q><q><q>b"], must=True)
    tok("added-single-word", plus(a("zqx", single_word=True)), ["zqx azqx zqxb a zqx b", "zqx.", "_zqx zqx1 (zqx)"], ["single_word"])
    tok("added-single-word-tag", plus(a("<x>", single_word=True)), TAGS, ["single_word"])
    tok("added-lowercase", v(plus(a("<X>", normalized=True)), normalizer={"type": "Lowercase"}), TAGS, ["normalized"])
    la = lambda norm: v(l, added_tokens=l["added_tokens"] + [added("<x>", L, normalized=norm)])
    tok("added-normalized-prepend", la(True), TAGS + ["a<x><x>b"], ["normalized"]); tok("added-unnormalized-prepend", la(False), TAGS + ["a<x><x>b"], must=True)
    # Metaspace
    for how in ("always", "first", "never"): tok("metaspace-whole-" + how, v(l, normalizer=None, pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": how, "split": False}), WORDS[:3] + code + ["<s>after</s> x"], must=True)
    # Split
    tok("split-regex-isolated", pre(split(R(REGEX), "Isolated")), WORDS + ODD, must=True)
    tok("split-regex-removed-inverted", pre(split(R(REGEX), "Removed", True)), WORDS, must=True)
    tok("split-string-merged-with-previous", pre(split(S(" "), "MergedWithPrevious")), ["a  b c ", " x", "a b"], ["Split"])
    tok("split-that-never-strikes", v(l, normalizer={"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, pre_tokenizer=split(S(" "), "MergedWithPrevious")), WORDS + code, must=True, note=" (The normalizer leaves no space for the pre-tokenizer; a family in common use is made so.)")
    tok("split-string-removed", pre(split(S(" "), "Removed")), ["a  b c ", " x"], ["Split"]); tok("split-regex-removed", pre(split(R(r"\s+"), "Removed")), ["a  b c ", " x"], ["Split"])
    d = ["a12b345c", "1a", "no digit"]
    tok("split-regex-merged-with-previous", pre(split(R(r"\d"), "MergedWithPrevious")), d, ["Split"]); tok("split-regex-contiguous", pre(split(R(r"\d"), "Contiguous")), d, ["Split"])
    tok("split-string-contiguous", pre(split(S(" "), "Contiguous")), ["a  b c ", " x"], ["Split"])
    tok("split-isolated-inverted", pre(split(R(r"\d"), "Isolated", True)), d, ["Split", "invert"]); tok("split-contiguous-inverted", pre(split(S(" "), "Contiguous", True)), ["a  b c ", " x"], ["Split", "invert"])
    # regular expressions
    tok("regex-case-inside", pre(split(R(r"(?i:'s|'t|'re)|\p{L}+|\p{N}{1,2}|[^\p{L}\p{N}]"), "Isolated")), ["DON'T don't WE'RE 12345"], must=True)
    tok("regex-case-in-front", pre(split(R(r"(?i)[a-f]+|[^a-f]+"), "Isolated")), ["abcDEFghi FACE xyz"], ["(?i)", "regular expression"])
    tok("regex-possessive", pre(split(R(r"\s++$|\s*\n|\s+(?!\S)|\s|\S+"), "Isolated")), ["b\n\nc", "b \n c", "ab  \n\n1", "ab\n\n"], ["possessive", "++", "regular expression"])
    tok("regex-possessive-plain", pre(split(R(r"\p{L}++|\p{N}++|[^\s\p{L}\p{N}]++|\s++"), "Isolated")), WORDS, ["possessive", "++", "regular expression"])
    tok("regex-posix", pre(split(R(r"[[:alpha:]]+|[[:digit:]]+|[[:space:]]+|[^[:alnum:][:space:]]"), "Isolated")), WORDS, ["posix", "[["])
    tok("regex-look-behind", pre(split(R(r"(?<=a)b|(?<!a)c"), "Isolated")), ["abcab cac"], ["regular expression"])
    # other pre-tokenizers
    for b in ("Isolated", "Removed", "MergedWithPrevious", "Contiguous"): tok("punctuation-" + {"MergedWithPrevious": "merged-with-previous"}.get(b, b.lower()), pre({"type": "Punctuation", "behavior": b}), ["a..b, c!", "__x__ [y]--(z)", "3 + 4 = $7", "日本、中"], ["Punctuation"])
    tok("whitespace", pre({"type": "Whitespace"}), WORDS + ODD, ["Whitespace"]); tok("whitespace-split", pre({"type": "WhitespaceSplit"}), WORDS + ODD, ["WhitespaceSplit"])
    tok("bert-pre", pre({"type": "BertPreTokenizer"}), WORDS + ODD, ["BertPreTokenizer"]); tok("char-delimiter", pre({"type": "CharDelimiterSplit", "delimiter": "_"}), ["a_b__c"], ["CharDelimiterSplit"])
    tok("scripts", pre({"type": "UnicodeScripts"}), ["abc日本ひら"], ["UnicodeScripts"]); tok("fixed-length", pre({"type": "FixedLength", "length": 3}), ["abcdefgh", "𝒜𝓁𝑔 𠮷"], ["FixedLength"])
    # normalizers
    nz = lambda id, x, texts=(), **k: tok("normalizer-" + id, v(g, normalizer=x), texts, names=[x["type"]], **k)
    for k in ("NFC", "NFKC"): nz(k.lower(), {"type": k}, must=True)
    nz("lowercase", {"type": "Lowercase"}, ["ÀÉ İ ß", "ΟΔΟΣ ΣΑΣ", "Mill"]); nz("strip", {"type": "Strip", "strip_left": True, "strip_right": True}, ["  a b  ", "\ufeffa\ufeff", "\u0085a\u0085"])
    nz("replace-string", {"type": "Replace", "pattern": {"String": "e"}, "content": "E"}, must=True); nz("replace-regex", {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}, WORDS)
    nz("replace-dollar", {"type": "Replace", "pattern": {"Regex": r"(\d)"}, "content": "<$1>"}, ["e1e2", "12"]); nz("replace-ampersand", {"type": "Replace", "pattern": {"String": "a"}, "content": "$&b"}, ["banana"])
    nz("bert", {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}, WORDS); nz("nmt", {"type": "Nmt"}, ["a\u200bb c"]); nz("byte-level", {"type": "ByteLevel"}, ["é b"])
    tok("normalizer-sequence-accents", v(g, normalizer={"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]}), WORDS, ["StripAccents"])
    # what stands around a text
    A = seq("A"); B, E = special("<s>"), special("</s>")
    tok("template-both-ends", v(l, post_processor=template([B, A, E], {"<s>": 1, "</s>": 2})), must=True)
    tok("template-two-ids", v(l, post_processor=template([B, A], {"<s>": [1, 1]})), ["a b", ""], ["TemplateProcessing", "<s>"])
    tok("template-other-id", v(l, post_processor=template([B, A], {"<s>": 2})), ["a b", ""], ["TemplateProcessing", "<s>"])
    tok("template-in-sequence", v(g, post_processor={"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}, template([B, A], {"<s>": 0})]}), must=True)
    tok("roberta", v(g, post_processor={"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": True}), ["a b", ""], ["RobertaProcessing"])
    # models
    m = copy.deepcopy(g); m["model"]["ignore_merges"] = True; tok("ignore-merges", m, must=True)
    for k in (True, False):
        m = copy.deepcopy(l); m["model"]["byte_fallback"] = False; m["model"]["fuse_unk"] = k; tok("unknown-" + ("fused" if k else "single"), m, ["a 🙂🙃🙂 b", "word " * 80 + "🙂🙃 日日 end"], must=True)
    tok("limits-in-file", v(g, truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}, padding={"strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"}), must=True, note=" Truncation and padding of the file do not count for a text to measure.")
    pieces = [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0]] + [[f"<0x{b:02X}>", -9.0] for b in range(256)]
    plain = [["▁", -2.0]] + [[c, -4.0 - i / 50] for i, c in enumerate("abcdefghilmnorstuwTAO.,")] + [["▁the", -3.1], ["he", -3.6], ["▁mill", -4.2], ["er", -3.9], ["▁c", -4.1], ["ount", -4.8], ["ed", -4.0]]
    meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}
    uni = lambda p, bf: {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [dict(added(c, i), special=True) for i, c in enumerate(("<unk>", "<s>", "</s>"))], "normalizer": None, "pre_tokenizer": meta, "post_processor": template([B, A], {"<s>": 1}), "decoder": None,
                            "model": {"type": "Unigram", "unk_id": 0, "vocab": p, "byte_fallback": bf}}
    ut = ["the miller counted the sacks", "Then a é and 🙂", "the  end", "Ω"]
    tok("unigram", uni(pieces[:3] + plain, False), ut, ["Unigram"]); tok("unigram-byte-fallback", uni(pieces + plain, True), ut, ["byte_fallback"])
    words = ["[UNK]", "[CLS]", "[SEP]", "the", "mill", "##er", "##s", "un", "##want", "##ed", "a", ",", ".", "!", "日", "中"]
    tok("wordpiece", {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [dict(added(c, i), special=True) for i, c in enumerate(words[:3])], "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
                      "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": template([special("[CLS]"), A, special("[SEP]")], {"[CLS]": 1, "[SEP]": 2}), "decoder": None,
                      "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 12, "vocab": {w: i for i, w in enumerate(words)}}}, ["The millers, unwanted!", "中日 a", "aaaaaaaaaaaaa millerx", ""], ["WordPiece"])

    # files beside it
    from transformers import AutoTokenizer
    def beside(id, definition, config, texts, names, extra={}):
        d = book.here / "tokenizer" / id; compact(d / "tokenizer.json", definition); compact(d / "tokenizer_config.json", config)
        for k, x in extra.items(): compact(d / k, x)
        t = AutoTokenizer.from_pretrained(str(d))
        book.add("tokenizer-" + id, "tokenizer", "Load the tokenizer of the folder; encode each text with the special tokens that it adds.", [{"ids": [t(x)["input_ids"] for x in texts]}, refused(*names)], "transformers 5.24.0 (AutoTokenizer, class " + config.get("tokenizer_class", "none") + ")",
                 files=[f"tokenizer/{id}/{k}" for k in ("tokenizer.json", "tokenizer_config.json", *extra)], texts=texts)
    P_ = dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<s>", eos_token="</s>")
    dec = {str(i): dict(content=c, lstrip=False, rstrip=False, normalized=False, single_word=False, special=True) for i, c in [(0, "<s>"), (1, "</s>"), (n, "<|turn|>"), (n + 1, "<|end|>")]}
    chat_text = ["a <|turn|>user\nhi<|end|> b", "plain"]
    beside("config-only-added", g, dict(P_, added_tokens_decoder=dec), chat_text, ["added_tokens_decoder", "<|turn|>"])
    beside("config-plain", g, P_, WORDS[:4], ["tokenizer_config"])
    beside("config-prefix-space", v(g, post_processor={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}), dict(tokenizer_class="GPT2Tokenizer", add_prefix_space=True, bos_token="<s>", eos_token="</s>", unk_token="</s>"), ["Old Marta", "a b"], ["add_prefix_space"])

    # last words
    eos = v(l, post_processor=template([B, A, E], {"<s>": 1, "</s>": 2})); compact(book.here / "tokenizer" / "last-word-eos.json", eos)
    for id, d_, f in (("last-word-eos", eos, "tokenizer/last-word-eos.json"), ("last-word-bos", l, "tokenizer/llama.json")):
        p = ["the miller counted the sacks", "Nobody forgot the old rope"]; ids = rust(d_, p); raw = rust(d_, p, special=False); head = rust(d_, [x.rsplit(" ", 1)[0] for x in p], special=False)
        book.add("tokenizer-" + id, "tokenizer", "Last-word accuracy: take each text as a passage; say which tokens are judged (those of the last word, with the space before it, and no token that the tokenizer adds by itself).",
                 [{"ids": ids, "judged_from": [1 + len(h) for h in head], "judged_to": [1 + len(r) for r in raw]}], RS + "; the last word is what follows the last space", files=[f], as_name="tokenizer.json", texts=p)

# ---------------------------------------------------------------- chat templates

TF = "transformers 5.24.0 (apply_chat_template of PreTrainedTokenizerFast, jinja2 3.1.6)"
TALK = [{"role": "user", "content": "Hi there"}, {"role": "assistant", "content": "Hello!"}]
LONG = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "  wide \n"}, {"role": "assistant", "content": "<think>\n  plan\n</think>\n\n    one = 1\n"}, {"role": "user", "content": "Again?"}, {"role": "assistant", "content": "Yes"}]
RICH = [{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "", "reasoning_content": "look it up", "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"place": "harbour"}}}]}, {"role": "tool", "name": "weather", "content": "rain"}, {"role": "assistant", "content": "It rains.", "name": "Marta"}]

SNIPPETS = {
    # in common use
    "marks": "{% for m in messages %}{{'<|a|>' + m['role'] + '\n' + m['content'] + '<|z|>' + '\n'}}{% endfor %}",
    "generation": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}[{{ m.role }}] {{ m.content }}{% endif %}{% endfor %}",
    "break": "{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
    "continue": "{% for m in messages %}{% if m.role == 'user' %}{% continue %}{% endif %}{{ m.content }}{% endfor %}",
    "title": "{% for m in messages %}{{ m['role'].title() }}: {{ m.content.strip() }}{% endfor %}",
    "filters": "{% for m in messages %}{{ m.role | capitalize }}{{ m.role | upper }}{{ m.content | trim | length }}{% endfor %}",
    "slices": "{% for m in messages[::-1] %}{{ m.role }},{% endfor %}{{ messages[1:]|length }}{{ messages[-1].role }}{{ 'abc'[::-1] }}",
    "neighbours": "{% for m in messages %}{% if loop.previtem is defined %}{{ loop.previtem.role }}{% endif %}>{{ m.role }};{% endfor %}",
    "macro": "{% macro r(m, pre='#') %}{{ pre }}{{ m.role }}:{{ m.content }}{% endmacro %}{% for m in messages %}{{ r(m) }}{{ r(m, pre='*') }}{% endfor %}",
    "set-block": "{% set x %}a{{ messages[0].role }}b{% endset %}{{ x }}{{ x|length }}",
    "split": "{{ 'a b c d'.split(' ', 2)|join('|') }};{{ 'a,,b'.split(',')|join('|') }};{{ ' a  b '.split()|join('|') }}",
    "tojson": "{{ messages[0] | tojson }}{{ 'é<&>' | tojson }}",
    "select": "{% for m in messages | selectattr('role','equalto','user') %}{{ m.content }}{% endfor %}{{ messages | rejectattr('role','equalto','user') | list | length }}",
    "map-attribute": "{{ messages | map(attribute='role') | join(', ') }}",
    "space-control": "  {%- if true -%}  a  {%- endif -%}  b\n{% if true %}\nc\n{% endif %}\nd",
    "block-lines": "x\n    {% if true %}\n    y\n    {% endif %}\nz\n",
    "last-newline": "{{ messages[0].content }}\n",
    "comment": "a{# c #}b{#- d -#} e",
    "for-if-else": "{% for m in messages if m.role == 'system' %}{{ loop.index }}{{ m.content }}{% else %}none{% endfor %}",
    "raise": "{% if messages[0].role != 'user' %}{{ raise_exception('no') }}{% endif %}ok",
    "get": "{{ messages[0].get('name', 'anon') }}{{ messages[0].get('role') }}{{ 'y' if messages[0]['nokey'] is defined else 'n' }}",
    "dictsort": "{% for k, v in messages[0]|dictsort %}{{ k }}={{ v }};{% endfor %}",
    # strip with characters
    "strip-chars": "{{ 'xxabcxx'.strip('x') }}|{{ 'xyabyx'.lstrip('xy') }}|{{ '  keep '.strip('x') }}",
    "lstrip-newlines": "{% for m in messages %}{{ m.content.lstrip('\n') }}|{% endfor %}",
    "thinking": "{% for m in messages %}{% set c = m.content %}{% if m.role == 'assistant' and '</think>' in c %}{% set r = c.split('</think>')[0].split('<think>')[-1].strip('\n') %}{% set c = c.split('</think>')[-1].lstrip('\n') %}[{{ r }}]{% endif %}<{{ c }}>{% endfor %}",
    # what is printed
    "print-booleans": "{{ 1 < 2 }} {{ 'x' in messages[0] }} {% set ns = namespace(found=false) %}{{ ns.found }}",
    "print-loop": "{% for m in messages %}{{ loop.index }}{{ loop.first }}{{ loop.last }};{% endfor %}",
    "print-none": "{{ none }}|{{ messages[0].name }}|{{ 'a' ~ none }}",
    "print-dict": "{{ {'a': 1, 'b': none, 'c': true, 'd': 'x'} }}",
    "print-list": "{{ ['a', \"it's\", 1, 1.0, none, true] }}",
    "print-numbers": "{{ 1.0 }}|{{ 3/2 }}|{{ 4/2 }}|{{ 7//2 }}|{{ -7//2 }}|{{ -7 % 3 }}|{{ 2**3 }}|{{ 0.1+0.2 }}",
    "print-int-filter": "{{ '12'|int + 1 }}{{ '1.5'|float }}{{ 3.7|int }}{{ 10|string }}{{ -3|abs }}",
    "tojson-indent": "{{ {'b':1,'a':[1,2.0,none,true]} | tojson(indent=2) }}",
    "tojson-separators": "{{ {'a':[1,2]} | tojson(separators=(',',':')) }}|{{ {'b':1,'a':2} | tojson(sort_keys=true) }}",
    "equal": "{{ 'y' if 1 == 1.0 else 'n' }}{{ 'y' if '1' == 1 else 'n' }}{{ 'y' if [] == [] else 'n' }}{{ 'y' if 'a' < 'b' else 'n' }}",
    "case-of-rest": "{{ 'hELLO wORLD'.title() }}|{{ 'hELLO wORLD'.capitalize() }}",
    "astral-length": "{{ '🙂'|length }}{{ '🙂é'[0] }}",
    # what the parser or the library lacks
    "date": "{{ strftime_now('%Y') }}|{{ messages[0].content }}",
    "date-guarded": "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}1999{% endif %}|{{ messages[0].content }}",
    "raw": "{% raw %}{{ x }}{% endraw %}",
    "with": "{% with a = 1 %}{{ a }}{% endwith %}",
    "percent": "{{ '%s-%d' % ('a', 3) }}",
    "format": "{{ '{} and {}'.format('x', 'y') }}",
    "times": "{{ '=' * 5 }}{{ ([1] * 2)|length }}",
    "chained": "{{ 'y' if 1 < 2 <= 2 else 'n' }}",
    "find": "{{ 'hello'.find('l') }}{{ 'hello'.count('l') }}{{ 'hello'.rfind('l') }}",
    "endswith-tuple": "{{ 'y' if 'abc'.endswith(('b','c')) else 'n' }}{{ 'y' if 'abc'.startswith('a') else 'n' }}",
    "batch": "{% for b in [1,2,3]|batch(2) %}{{ b|length }}{% endfor %}",
    "map-filter": "{{ ['a','b'] | map('upper') | join(',') }}",
    "escape": "{{ 'a<b' | e }}{{ x | d('q') }}",
    "string-list": "{{ 'abc'|list|join('-') }}{{ 'abc'|first }}{{ 'abc'|last }}",
    "rsplit": "{{ 'a,b,c'.rsplit(',',1)|join('|') }}{{ 'a\nb'.splitlines()|join('|') }}{{ 'a,b'.partition(',')|join('|') }}",
    "sum-max": "{{ [1,2,3]|sum }}{{ [1,2,3]|max }}{{ 2.5|round }}",
    "divisible": "{{ 'y' if 4 is divisibleby(2) else 'n' }}{{ 'y' if 'a' is in 'abc' else 'n' }}",
    "is-digit": "{{ 'y' if '12'.isdigit() else 'n' }}{{ 'y' if 'AB'.isupper() else 'n' }}",
    "cycle": "{% for m in messages %}{{ loop.cycle('a','b') }}{% endfor %}",
    "undefined-iteration": "{% for i in x %}{{ i }}{% endfor %}|{{ x|length }}|{{ x|join(',') }}",
    # names that are there, and what a message has
    "documents-none": "{% if documents is none %}no documents{% endif %}|{{ messages[0].content }}",
    "tools-length": "{{ (tools or [])|length }}{% if tools %}T{% else %}N{% endif %}",
    "other-tokens": "[{{ bos_token }}][{{ eos_token }}][{{ cls_token }}]",
}


def template_cases(book):
    from transformers import PreTrainedTokenizerFast
    base = byte_level(story(11, 300)); compact(book.here / "template" / "tokenizer.json", base)
    specials = dict(bos_token="<s>", eos_token="</s>")

    def render(config, messages, files={}):
        with tempfile.TemporaryDirectory() as d:
            json.dump(base, open(d + "/tokenizer.json", "w")); json.dump(config, open(d + "/tokenizer_config.json", "w"))
            for k, x in files.items(): Path(d, k).write_bytes(x if isinstance(x, bytes) else json.dumps(x).encode())
            try: return {"text": PreTrainedTokenizerFast.from_pretrained(d).apply_chat_template(messages, tokenize=False)}
            except Exception as e: return refused(str(e))

    rare = {"raw": "raw", "with": "with", "percent": "%", "format": "format", "times": "*", "chained": "<", "find": "find", "endswith-tuple": "endswith", "batch": "batch", "map-filter": "map", "escape": "filter", "string-list": "list", "rsplit": "rsplit", "sum-max": "sum", "divisible": "divisibleby", "is-digit": "isdigit", "cycle": "cycle", "undefined-iteration": "undefined"}
    for id, t in SNIPPETS.items():
        config = dict(tokenizer_class="PreTrainedTokenizerFast", **specials, chat_template=t)
        for k, talk in (("", TALK), ("-long", LONG)) if id in ("marks", "lstrip-newlines", "thinking", "raise", "space-control", "select", "for-if-else") else (("", TALK),):
            right = [render(config, talk)]
            if "date" in id: right = [{"text_pattern": r"^[0-9]{4}\|Hi there$"}]
            if id in rare: right.append(refused(rare[id]))
            book.add(f"template-{id}{k}", "template", "Render the conversation with the template; add_generation_prompt is false, no tools and no documents are given." + (" Any fixed date will do." if "date" in id else ""), right, TF, tokenizer_config=config, messages=talk)
    fields = {"tool-calls": "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}<call {{ c.function.name }} {{ c.function.arguments|tojson }}>{% endfor %}{% endfor %}", "name": "{% for m in messages %}{% if m.name is defined %}({{ m.name }}){% endif %}{{ m.content }}{% endfor %}",
              "reasoning": "{% for m in messages %}{% if m.reasoning_content is defined %}<r>{{ m.reasoning_content }}</r>{% endif %}{{ m.content }}{% endfor %}"}
    for id, t in fields.items():
        config = dict(tokenizer_class="PreTrainedTokenizerFast", **specials, chat_template=t)
        book.add("template-field-" + id, "template", "Render the conversation with the template, which reads more of a message than role and content.", [render(config, RICH), refused({"tool-calls": "tool_calls", "name": "name", "reasoning": "reasoning_content"}[id])], TF, tokenizer_config=config, messages=RICH)
    # where the template and its tokens stand
    bare = dict(tokenizer_class="PreTrainedTokenizerFast")
    crlf = b"{% for m in messages %}\r\n{{ m.role }}: {{ m.content }}\r\n{% endfor %}\r\n"; (book.here / "template" / "crlf.jinja").write_bytes(crlf)
    book.add("template-file-crlf", "template", "Render with the file as chat_template.jinja.", [render(dict(bare, **specials), TALK, {"chat_template.jinja": crlf})], TF, tokenizer_config=dict(bare, **specials), files=["template/crlf.jinja"], as_name="chat_template.jinja", messages=TALK)
    lf = b"{% for m in messages %}\n{{ m.role }}: {{ m.content }}\n{% endfor %}\n"; (book.here / "template" / "lf.jinja").write_bytes(lf)
    book.add("template-file-over-config", "template", "Render with the file as chat_template.jinja.", [render(dict(bare, **specials, chat_template="OLD"), TALK, {"chat_template.jinja": lf})], TF, tokenizer_config=dict(bare, **specials, chat_template="OLD"), files=["template/lf.jinja"], as_name="chat_template.jinja", messages=TALK)
    stm = {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}}; compact(book.here / "template" / "special_tokens_map.json", stm)
    c = dict(bare, chat_template="{{ bos_token }}{{ messages[0].content }}{{ eos_token }}")
    book.add("template-tokens-in-special-tokens-map", "template", "Render with the file as special_tokens_map.json, beside a tokenizer_config.json that names no special tokens.", [render(c, TALK, {"special_tokens_map.json": stm})], TF, tokenizer_config=c, files=["template/special_tokens_map.json"], as_name="special_tokens_map.json", messages=TALK)
    c = dict(bare, **specials, chat_template=[{"name": "rag", "template": "RAG"}, {"name": "default", "template": "DEF {{ messages[0].content }}"}])
    book.add("template-named-default", "template", "Render with the template that counts of several.", [render(c, TALK)], TF, tokenizer_config=c, messages=TALK)
    c = dict(bare, **specials, chat_template=[{"name": "tool_use", "template": "TOOL"}, {"name": "rag", "template": "RAG"}])
    book.add("template-named-without-default", "template", "Render where several templates have names and none is called default.", [refused("default", "tool_use")], TF + ": refuses", tokenizer_config=c, messages=TALK)

# ---------------------------------------------------------------- models

HF = "transformers 5.24.0 and torch 2.15 on the processor, weights as float32"
NP = "own dequantization (numpy), then " + HF


def model_cases(book):
    M = book.here / "models"; text = story(11, 300); g = byte_level(text)
    (book.here / "models").mkdir(exist_ok=True); (M / "eval.txt").write_text(story(12, 60), encoding="utf-8"); (M / "calibration.txt").write_text(story(13, 120), encoding="utf-8")
    ev = (M / "eval.txt").read_text(encoding="utf-8"); ids = rust(g, [ev])[0]; assert len(ids) >= SEQLEN * WINDOWS, len(ids)
    config, tensors = fresh()
    compact(M / "base" / "tokenizer.json", g); compact(M / "base" / "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<s>", eos_token="</s>"))
    compact(M / "base" / "config.json", config); save(M / "base" / "model.safetensors", tensors)
    common = {k: f"models/base/{k}" for k in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")}
    ppl = lambda value: {"perplexity": value, "relative_tolerance": 1e-4}
    base = perplexity(config, tensors, ids)
    ASK = f"Lay the folder out (lay_out.py), measure the perplexity of models/eval.txt as stored: windows of {SEQLEN} tokens, {WINDOWS} of them."

    def model(id, kind, right, source, over={}, do="", links=None, drop=(), text="models/eval.txt", **more):
        """over: name in the folder -> config as a dict, tensors, or a path below this folder."""
        layout = {k: x for k, x in common.items() if k not in drop}
        for name, x in over.items():
            path = M / id / name
            if isinstance(x, str): layout[name] = x; continue
            if name.endswith(".safetensors"): save(path, x[0] if isinstance(x, tuple) else x, *(x[1:] if isinstance(x, tuple) else ()))
            else: compact(path, x)
            layout[name] = f"models/{id}/{name}"
        if links: layout = links(layout)
        book.add(id, kind, (ASK if not do else do), right, source, folder=layout, text=text, **more)

    model("config-base", "config", [ppl(base)], HF)
    # rotary settings in two places
    def conf(f): c = copy.deepcopy(config); f(c); return c
    def two(id, f, names, note=""):
        c = conf(f); model("config-" + id, "config", [ppl(perplexity(c, tensors, ids)), refused(*names)], HF + note, {"config.json": c})
    either = "; a refusal that names the fact that stands twice is as good"
    two("rope-theta-twice", lambda c: (c.update(rope_parameters={"rope_type": "default", "rope_theta": 500000.0}, rope_theta=10000.0)), ["rope_theta"], either)
    two("rope-scaling-and-parameters", lambda c: c.update(rope_scaling={"rope_type": "linear", "factor": 4.0}, rope_parameters={"rope_type": "default", "rope_theta": 500000.0}), ["rope_scaling", "rope_parameters"], either)
    c = conf(lambda c: c.update(rope_parameters={"rope_type": "default", "rope_theta": 500000.0})); model("config-rope-parameters-only", "config", [ppl(perplexity(c, tensors, ids))], HF, {"config.json": c})
    c = conf(lambda c: (c.pop("rope_parameters", None), c.update(rope_theta=500000.0))); model("config-rope-theta-only", "config", [ppl(perplexity(c, tensors, ids))], HF, {"config.json": c})
    same = conf(lambda c: c.update(rope_parameters={"rope_type": "default", "rope_theta": 500000.0}, rope_theta=500000.0)); model("config-rope-theta-twice-equal", "config", [ppl(perplexity(same, tensors, ids))], HF, {"config.json": same})
    l3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    two("llama3-without-original-length", lambda c: c.update(rope_parameters=l3), ["original_max_position_embeddings"], "; it takes max_position_embeddings. A refusal must not say that the file has to be downloaded again")
    c = conf(lambda c: c.update(rope_parameters=dict(l3, original_max_position_embeddings=64))); model("config-llama3", "config", [ppl(perplexity(c, tensors, ids))], HF, {"config.json": c})
    for k, x in (("yarn", {"factor": 4.0, "original_max_position_embeddings": 64}), ("dynamic", {"factor": 2.0})):
        two("rope-" + k, lambda c: c.update(rope_parameters=dict(rope_type=k, rope_theta=10000.0, **x)), [k])
    two("hidden-act-swish", lambda c: c.update(hidden_act="swish"), ["swish", "hidden_act"]); two("head-dim-null", lambda c: c.update(head_dim=None), ["head_dim"])

    # a tokenizer with more ids than the embedding has rows
    big = dict(g, added_tokens=g["added_tokens"] + [added("<picture>", 288, special=True)])
    model("checkpoint-token-beyond-embedding-unused", "checkpoint", [ppl(base)], HF + "; the text never holds the token", {"tokenizer.json": big})
    (M / "eval-picture.txt").write_text(ev.replace(". ", ". <picture> ", 3), encoding="utf-8")
    model("checkpoint-token-beyond-embedding-used", "checkpoint", [refused("<picture>", "288")], "the embedding has no such row", {"tokenizer.json": big}, text="models/eval-picture.txt")

    # tensors that nobody reads
    t = dict(tensors); torch.manual_seed(5); t["lm_head.bias"] = torch.randn(288).half()
    warn = lambda *n: {"and": "it says that these tensors are not used", "names": list(n)}
    model("checkpoint-head-bias", "checkpoint", [dict(ppl(base), **warn("lm_head.bias")), refused("lm_head.bias")], HF + ", which lists it as UNEXPECTED", {"model.safetensors": t})
    t = dict(tensors); t["model.layers.0.self_attn.q_proj.bias"] = torch.randn(32).half()
    model("checkpoint-query-bias-not-asked-for", "checkpoint", [dict(ppl(base), **warn("model.layers.0.self_attn.q_proj.bias")), refused("q_proj.bias")], HF + ", which lists it as UNEXPECTED", {"model.safetensors": t})
    t = {}
    for k, x in tensors.items():
        t[k] = (x.float() * 8).bfloat16() if "proj" in k else x
        if "proj" in k: t[k + "_scale_inv"] = torch.tensor([[0.125]])
    model("checkpoint-scales-beside-bfloat16", "checkpoint", [refused("weight_scale_inv"), dict(ppl(perplexity(config, {k: x for k, x in t.items() if "scale_inv" not in k}, ids)), **warn("weight_scale_inv"))],
          HF + ", which takes the weights as they stand and lists the scales as UNEXPECTED", {"model.safetensors": t})

    # types and values
    def with_raw(id, dtype):
        """Adds one tensor that no model reads, of a type of one byte."""
        d = M / id; save(d / "model.safetensors", dict(tensors, **{"extra.weight": torch.zeros(16, dtype=torch.uint8)})); p = d / "model.safetensors"; b = p.read_bytes(); n = struct.unpack("<Q", b[:8])[0]; h = json.loads(b[8:8 + n]); h["extra.weight"]["dtype"] = dtype
        s = json.dumps(h, separators=(",", ":")).encode(); s += b" " * (-len(s) % 8); p.write_bytes(struct.pack("<Q", len(s)) + s + b[8 + n:])
        from safetensors import safe_open
        with safe_open(str(p), "pt") as f: assert f.get_slice("extra.weight").get_dtype() == dtype
        return f"models/{id}/model.safetensors"
    for k in ("F8_E4M3FNUZ", "F8_E5M2FNUZ"):
        model("file-" + k.lower().replace("_", "-"), "file", [ppl(base), refused(k)], "safetensors 0.8 writes and reads the type; the tensor is not one of the model's. A refusal must not say that the file is damaged", {"model.safetensors": with_raw("file-" + k.lower().replace("_", "-"), k)})
    model("checkpoint-float64", "checkpoint", [ppl(base), refused("F64", "float64")], HF, {"model.safetensors": {k: (x.double() if "mlp" in k and ".0." in k else x) for k, x in tensors.items()}})
    model("checkpoint-mixed-types", "checkpoint", [ppl(perplexity(config, mixed := {k: (x.bfloat16() if "mlp" in k else x) for k, x in tensors.items()}, ids))], HF, {"model.safetensors": mixed})
    d = M / "file-metadata-null"; save(d / "model.safetensors", tensors); b = (d / "model.safetensors").read_bytes(); n = struct.unpack("<Q", b[:8])[0]; h = json.loads(b[8:8 + n]); h["__metadata__"] = None
    s = json.dumps(h, separators=(",", ":")).encode(); s += b" " * (-len(s) % 8); (d / "model.safetensors").write_bytes(struct.pack("<Q", len(s)) + s + b[8 + n:]); assert len(st.load_file(d / "model.safetensors")) == len(tensors)
    model("file-metadata-null", "file", [ppl(base), refused("__metadata__")], "safetensors 0.8 reads it. A refusal must not say that the file is damaged", {"model.safetensors": "models/file-metadata-null/model.safetensors"})
    t = {k: x.bfloat16() for k, x in tensors.items()}; t["model.layers.1.mlp.down_proj.weight"][0, 0] = 3e38
    model("checkpoint-infinite", "checkpoint", [refused("NaN", "not a number", "infinite", "overflow")], HF + " gives nan; an exit code other than 0, with the block where it begins", {"model.safetensors": t})

    # GPTQ
    def packed(id, right, over=None, change=None, note="", conf_change=None, **k):
        p, plain = gptq(tensors, **k); c = copy.deepcopy(config); c["quantization_config"] = dict(QC, **(over or {}))
        if conf_change: conf_change(c)
        if change: change(p)
        model("checkpoint-gptq-" + id, "checkpoint", [ppl(perplexity(config, plain, ids)) if r is None else r for r in right], NP + note, {"config.json": c, "model.safetensors": p})
    def zero(p):
        for k in p:
            if k.endswith("g_idx"): p[k] = torch.zeros_like(p[k])
    packed("plain", [None]); packed("v2-asymmetric", [None], dict(sym=False, checkpoint_format="gptq_v2"), sym=False, v2=True)
    packed("zero-index-groups", [None, refused("g_idx")], change=zero, note="; kernels discard an index that is all zero, or the file is ambiguous and has to be named")
    packed("zero-index-full-row", [None], dict(group_size=-1), change=zero, group=-1)
    packed("no-index", [None], change=lambda p: [p.pop(k) for k in list(p) if k.endswith("g_idx")])
    packed("two-formats", [None, refused("checkpoint_format", "format")], dict(sym=False, checkpoint_format="gptq", format="gptq_v2"), sym=False, v2=True, note="; the tensors are those of gptq_v2")
    packed("missing-codes", [refused("model.layers.1.mlp.up_proj.qweight")], change=lambda p: p.pop("model.layers.1.mlp.up_proj.qweight"), note="; a tensor is missing")
    packed("head", [None, refused("lm_head.qweight", "quantized lm_head", "lm_head is quantized", "quantized head")], dict(lm_head=True), head=True)
    packed("marlin", [refused("marlin", "Marlin")], dict(is_marlin_format=True), change=lambda p: [p.update({k.replace("qweight", "B"): p.pop(k)}) for k in list(p) if k.endswith("qweight")], note="; the arrangement is another one")

    # folders
    sha = "0123456789abcdef0123456789abcdef01234567"
    def cache(layout):
        return dict({f"models--someone--tiny/blobs/{k.replace('.', '-')}": x for k, x in layout.items()}, **{f"models--someone--tiny/snapshots/{sha}/{k}": {"link": f"../../blobs/{k.replace('.', '-')}"} for k in layout}, **{"models--someone--tiny/refs/main": {"content": sha}})
    model("file-hub-cache-snapshot", "file", [ppl(base)], HF, links=cache, do=f"Lay the folder out (lay_out.py makes the symbolic links), open models--someone--tiny/snapshots/{sha}, measure as the other models.", open=f"models--someone--tiny/snapshots/{sha}")
    model("file-linked-folder", "file", [ppl(base)], HF, links=lambda l: dict({"real/" + k: x for k, x in l.items()}, model={"link": "real"}), do="Lay the folder out, open `model`, which is a symbolic link to a folder, measure as the other models.", open="model")

    # exports
    big_c, big_t = fresh(dtype=torch.float32); big_t["model.embed_tokens.weight"] *= 2e4
    for k in big_t:
        if k.endswith(("o_proj.weight", "down_proj.weight")): big_t[k] *= 2e4
    big_t = {k: x.bfloat16() for k, x in big_t.items()}; big_c["dtype"] = "bfloat16"
    half = perplexity(big_c, big_t, ids, dtype=torch.float16); whole = perplexity(big_c, big_t, ids)
    assert math.isnan(half)
    over = {"config.json": big_c, "model.safetensors": big_t}
    model("export-dense-range", "export", [{"input_perplexity": whole, "relative_tolerance": 1e-4, "export": "config.json does not declare float16, and transformers loads the folder with dtype=\"auto\" and computes the perplexity that the product printed, within 1 %"},
          {"warned": "hidden states of this model pass 65504, so a float16 checkpoint will not work; choose bfloat16"}], HF + "; in float16 it computes nan, since hidden states pass 65504", over,
          do="Quantize the folder with models/calibration.txt (8 samples of 64 tokens), QuantEase, 3 bits, outliers 0.01, evaluate models/eval.txt (6 windows of 64), save.")
    model("export-packed-range", "export", [{"input_perplexity": whole, "relative_tolerance": 1e-4, "export": "config.json does not declare float16, and transformers, the weights dequantized, computes the perplexity that the product printed in the dtype that config.json declares, within 1 %"},
          {"warned": "hidden states of this model pass 65504, so a float16 checkpoint will not work; choose bfloat16"}], HF + "; in float16 it computes nan, since hidden states pass 65504", {k: f"models/export-dense-range/{k}" for k in over},
          do="The same with GPTQ, 4 bits, symmetric, groups of 32, saved.")
    t = {k: x.bfloat16() for k, x in tensors.items()}; t["model.layers.0.mlp.gate_proj.weight"] = (t["model.layers.0.mlp.gate_proj.weight"].float() * 1e7).bfloat16()
    model("export-scales-saturate", "export", [{"layer_error": {"name": "model.layers.0.mlp.gate_proj", "below": 0.4}}, {"warned": "scales of model.layers.0.mlp.gate_proj pass 65504, the largest float16"}, refused("gate_proj", "65504")],
          "float16 ends at 65504; the same layer unscaled has an error of about 0.2", {"model.safetensors": t}, do="Quantize with models/calibration.txt (8 samples of 64 tokens), RTN, 2 bits, evaluate models/eval.txt (6 windows of 64); look at the relative error of the layer.")


ABOUT = dict(sentence="Inputs that real users and reference libraries hold to be plain, and what is right about each. README.md explains the fields.",
             models=dict(seqlen=SEQLEN, windows=WINDOWS))

if __name__ == "__main__":
    book = Book(HERE)
    for make in (text_cases, split_cases, tokenizer_cases, template_cases, model_cases): make(book)
    book.write(ABOUT)
    print(len(book.cases), "cases")
