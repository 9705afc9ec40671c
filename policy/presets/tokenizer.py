"""The tiny family's tokenizer, built offline: LIBERO's words whole, any other word in letters.

In: nothing but the word list beside this file. Out: `tokenizer.json` and `tokenizer_config.json`.
The constant part of the prompt is dropped: it tells a small model nothing and costs it time.
"""

import json
import string
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import Lowercase, Replace, Sequence
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

UNKNOWN_ID, BOS_ID, EOS_ID, PROMPT_END_ID = 0, 1, 2, 3
SPECIAL = ("<unk>", "<s>", "</s>", "<act>")
NUM_TEXT_IDS = 512
WORDS_FILE = Path(__file__).with_name("words.txt")
PROMPT_FRAME = r"^in: what action should the robot take to |\?\nout:$"


def build_tokenizer() -> Tokenizer:
    """Words first, then single characters, so that every instruction has its own spelling."""
    characters = string.ascii_lowercase + string.digits
    pieces = [*SPECIAL, *WORDS_FILE.read_text().split(), *characters, *(f"##{c}" for c in characters)]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    assert len(vocabulary) <= NUM_TEXT_IDS
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=SPECIAL[UNKNOWN_ID]))
    tokenizer.normalizer = Sequence([Lowercase(), Replace(Regex(PROMPT_FRAME), "")])
    tokenizer.pre_tokenizer = Whitespace()
    bos = SPECIAL[BOS_ID]
    tokenizer.post_processor = TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, BOS_ID)])
    return tokenizer


def write_tokenizer(folder: Path) -> None:
    build_tokenizer().save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**about, "unk_token": "<unk>"}, indent=2) + "\n"
    )
