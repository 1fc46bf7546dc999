"""Trains a byte-level BPE of 16,384 tokens on Python's standard library, for tools that will not run without a tokenizer.

Usage: PYTHON tokenizer.py FOLDER, with a Python that has `tokenizers`. FOLDER is a snapshot in a cache of the hub's
layout, so that the model's name is found in it without a network. What the tokens are matters to no figure.
"""

import glob
import json
import sys
import sysconfig
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

out = Path(sys.argv[1])
out.mkdir(parents=True)
refs = out.parent.parent / "refs"
refs.mkdir(exist_ok=True)
(refs / "main").write_text(out.name)
bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(
    vocab_size=16_384,
    special_tokens=["<|endoftext|>", "<|im_end|>"],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
)
bpe.train(sorted(glob.glob(sysconfig.get_paths()["stdlib"] + "/*.py")), trainer)
bpe.save(str(out / "tokenizer.json"))
described = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
(out / "tokenizer_config.json").write_text(json.dumps(described))
shape = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": bpe.get_vocab_size()}
(out / "config.json").write_text(json.dumps(shape))
