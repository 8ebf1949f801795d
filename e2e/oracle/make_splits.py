"""Records which files the datasets library assigns to which split, by name alone: writes splits.json next to this file.

pip install datasets==5.2.0
"""

import json
import os
import tempfile
from pathlib import Path

from datasets.data_files import DataFilesList, EmptyDatasetError, get_data_patterns

LISTINGS = [
    ["train.jsonl", "test.jsonl"],
    ["training.jsonl", "testing.jsonl"],
    ["train.jsonl", "val.jsonl"],
    ["train.jsonl", "valid.jsonl"],
    ["train.jsonl", "validation.jsonl", "test.jsonl"],
    ["train.jsonl", "dev.jsonl"],
    ["train.jsonl", "eval.jsonl"],
    ["train.jsonl", "evaluation.jsonl"],
    ["my-train.jsonl", "my-test.jsonl"],
    ["my.train.jsonl", "my.test.jsonl"],
    ["my train.jsonl", "my test.jsonl"],
    ["data_train_v2.jsonl", "data_test_v2.jsonl"],
    ["0train.jsonl", "1test.jsonl"],
    ["train0.jsonl", "train1.jsonl", "test0.jsonl"],
    ["train_0.jsonl", "train_1.jsonl", "test_0.jsonl"],
    ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "test-00000-of-00001.jsonl"],
    ["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet", "train.jsonl"],
    ["data/train-00000-of-00001-abcdef.parquet", "data/validation-00000-of-00001-abcdef.parquet"],
    ["data/train_sft-00000-of-00001.parquet", "data/test_sft-00000-of-00001.parquet", "data/train_gen-00000-of-00001.parquet"],
    ["data/random-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"],
    ["data/test.en-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"],
    ["other/train-00000-of-00001.parquet", "other/test-00000-of-00001.parquet"],
    ["train/a.jsonl", "train/b.jsonl", "test/a.jsonl"],
    ["train/a.jsonl", "test.jsonl"],
    ["data/train/a.jsonl", "data/test/a.jsonl"],
    ["train_v1/a.jsonl", "test_v1/a.jsonl"],
    ["my_train/a.jsonl", "my_test/deep/a.jsonl"],
    ["my-train-v1/a.jsonl", "my-test-v1/a.jsonl"],
    ["Train.jsonl", "Test.jsonl"],
    ["latest_notes.jsonl", "contest.jsonl", "trained.jsonl"],
    ["latest_notes_train.jsonl", "latest_notes_test.jsonl"],
    ["attest/a.jsonl", "b.jsonl"],
    ["train_test.jsonl", "other.jsonl"],
    ["train.jsonl", "train_extra.jsonl", "test.jsonl"],
    ["a.jsonl", "b.jsonl"],
    ["a.jsonl", "test.jsonl"],
    ["train.jsonl", ".test.jsonl", "__x__/test.jsonl", ".git/dev.jsonl"],
    ["train.jsonl", "dataset_info.json", "config.json"],
    ["train.jsonl.gz", "test.jsonl.gz"],
    ["evaluate.jsonl", "developer.jsonl", "value.jsonl"],
    ["data/eval/a.jsonl", "data/dev/a.jsonl", "data/training/a.jsonl"],
    ["train,jsonl.jsonl", "test(1).jsonl", "validation+1.jsonl"],
    ["en/train.jsonl", "en/test.jsonl", "de/train.jsonl"],
    ["dev-test.jsonl", "train.jsonl"],
    ["train"],
]


def splits(listing):
    with tempfile.TemporaryDirectory() as folder:
        for name in listing:
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}\n")
        try:
            patterns = get_data_patterns(folder)
        except EmptyDatasetError:
            return {}
        found = {}
        for split, of in patterns.items():
            files = DataFilesList.from_patterns(of, base_path=folder)
            found[str(split)] = sorted({os.path.relpath(file, folder) for file in files})
        return found


if __name__ == "__main__":
    rows = [json.dumps({"listing": listing, "splits": splits(listing)}) for listing in LISTINGS]
    Path(__file__).with_name("splits.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")
