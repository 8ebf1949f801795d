#!/bin/sh
# DuckDB 2.0.1 writes the definition levels of a parquet page as one bit-packed run of 256 values, however few the page has.
#
# Seen: ten rows with one NULL give levels of 33 bytes, a run header of 0x41 (32 groups of 8 values) and 32 bytes of levels, of
# which the page's header counts ten values; so do the levels of lists. Without a NULL it is a run-length run of exactly ten.
# The format lets a reader stop at the number of values that the page states, but the usual padding is to a multiple of 8: a
# reader that takes a run of more than 7 surplus values for damage refuses every DuckDB file with a NULL or a list.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet duckdb==2.0.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
import duckdb

folder = sys.argv[1]


def written(query):
    path = f"{folder}/x.parquet"
    duckdb.sql(f"copy ({query}) to '{path}' (format parquet, codec 'uncompressed')")
    return open(path, "rb").read()


padded = bytes([33, 0, 0, 0, 0x41])
nulls = written("select case when i = 3 then null else 'rope ' || i end as text from range(10) t(i)")
whole = written("select 'rope ' || i as text from range(10) t(i)")
lists = written("select ['rope', 'lamp'] as words from range(5)")
print(f"a run of 256 levels for ten values: with a NULL {padded in nulls}, in lists {padded in lists}, without {padded in whole}")
at = nulls.index(padded)
levels = int.from_bytes(nulls[at + 5 : at + 37], "little")
print(f"levels {levels:#x}: the ten of the page, and zeros")
assert padded in nulls and padded in lists and padded not in whole
assert levels == 0b1111110111
print("as stated")
PYTHON
