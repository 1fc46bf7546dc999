"""A model without a hub: a small tokenizer, Qwen3-32B's dimensions beside it, and random weights for llama.cpp.

The tokenizer is a byte-level BPE that is trained on Python's standard library. All of it is deterministic.
"""

import glob
import json
import sysconfig

import gguf
import numpy
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

NAME = "Qwen/Qwen3-32B"
REVISION = "0" * 39 + "1"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = ("{%- for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
            "{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
# Dynamo's mocker answers with the token ids 1000 to 1999.
VOCABULARY = 2048


def hub(home):
    """Makes a Hugging Face cache in `home`, in which `NAME` is found without a network. Returns the model's folder."""
    root = home / "hub" / f"models--{NAME.replace('/', '--')}"
    folder = root / "snapshots" / REVISION
    folder.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(REVISION)

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train(sorted(glob.glob(sysconfig.get_paths()["stdlib"] + "/*.py")), trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    bpe.save(str(folder / "tokenizer.json"))

    def write(name, content):
        (folder / name).write_text(json.dumps(content, indent=1))

    ids = {text: bpe.token_to_id(text) for text in SPECIAL}
    write("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 40960, "add_bos_token": False,
        "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None, "unk_token": None,
        "clean_up_tokenization_spaces": False, "chat_template": TEMPLATE,
        "added_tokens_decoder": {str(i): {"content": text, "lstrip": False, "normalized": False, "rstrip": False,
                                          "single_word": False, "special": True} for text, i in ids.items()}})
    # The dimensions that the simulated engine is timed by; the ids are those of the tokenizer above.
    write("config.json", {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "torch_dtype": "bfloat16", "head_dim": 128,
        "hidden_size": 5120, "intermediate_size": 25600, "num_attention_heads": 64, "num_hidden_layers": 64,
        "num_key_value_heads": 8, "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 1000000, "rope_scaling": None,
        "attention_bias": False, "attention_dropout": 0.0, "initializer_range": 0.02, "max_position_embeddings": 40960,
        "max_window_layers": 64, "sliding_window": None, "tie_word_embeddings": False, "use_cache": True,
        "vocab_size": 151936, "bos_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"]})
    write("generation_config.json", {"bos_token_id": ids["<|endoftext|>"], "pad_token_id": ids["<|endoftext|>"],
                                     "eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"]]})
    return folder


def random_gguf(folder, out, context):
    """Two layers of random weights with the tokenizer in `folder`: 0.8 MB."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    special = {entry["content"] for entry in tokenizer["added_tokens"]}
    words = sorted(vocabulary, key=vocabulary.get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    hidden, layers, heads, kv_heads, head, forward = 64, 2, 4, 2, 32, 128

    w = gguf.GGUFWriter(out, "qwen3")
    w.add_name("random")
    w.add_context_length(context)
    w.add_embedding_length(hidden)
    w.add_block_count(layers)
    w.add_feed_forward_length(forward)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_key_length(head)
    w.add_value_length(head)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(1e6)
    w.add_vocab_size(len(words))
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(words)
    w.add_token_types([gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in words])
    w.add_token_merges(merges)
    w.add_bos_token_id(vocabulary["<|endoftext|>"])
    w.add_eos_token_id(vocabulary["<|im_end|>"])
    w.add_pad_token_id(vocabulary["<|endoftext|>"])
    w.add_add_bos_token(False)
    w.add_chat_template(TEMPLATE)

    random = numpy.random.default_rng(0)

    def matrix(name, rows, columns):
        w.add_tensor(f"{name}.weight", (random.standard_normal((rows, columns)) * 0.3).astype(numpy.float16))

    def ones(name, n):
        w.add_tensor(f"{name}.weight", numpy.ones(n, dtype=numpy.float32))

    matrix("token_embd", len(words), hidden)
    ones("output_norm", hidden)
    matrix("output", len(words), hidden)
    for block in (f"blk.{i}" for i in range(layers)):
        ones(f"{block}.attn_norm", hidden)
        ones(f"{block}.ffn_norm", hidden)
        matrix(f"{block}.attn_q", heads * head, hidden)
        matrix(f"{block}.attn_k", kv_heads * head, hidden)
        matrix(f"{block}.attn_v", kv_heads * head, hidden)
        matrix(f"{block}.attn_output", hidden, heads * head)
        ones(f"{block}.attn_q_norm", head)
        ones(f"{block}.attn_k_norm", head)
        matrix(f"{block}.ffn_gate", forward, hidden)
        matrix(f"{block}.ffn_up", forward, hidden)
        matrix(f"{block}.ffn_down", hidden, forward)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
