"""What the names of folders mean: the words of forensic data sets for labels, splits, generators and classes.

A name is read word by word, in any case, without words that say nothing: `0_real`, `Real Images` and `training_real`
are REAL. A word beside others that are not known proves nothing: `Real-ESRGAN` is a generator.
"""

import re
import unicodedata
from functools import lru_cache

LABEL_NAMES = ("REAL", "FAKE")
SPLITS = ("train", "validation", "test")

_SMALL, _LARGE = "a-zß-öø-ÿ", "A-ZÀ-ÖØ-Þ"
_SEAM = re.compile(
    rf"(?<=[{_SMALL}])(?=[{_LARGE}])|(?<=[{_LARGE}])(?=[{_LARGE}][{_SMALL}])|(?<=\d)(?=\D)|(?<=\D)(?=\d)"
)
_WORD = re.compile(r"[^\W_]+")
_LABELS = (
    re.compile(r"reals?|natur(e|al)|authentic|originals?|genuine|pristine|bonafide"),
    re.compile(r"fakes?|ai|aigc|generated|synth?etic|synthesi[sz]ed|manipulated|tampered|forged|deepfakes?|spoof"),
)
# Where `dev` and `eval` stand, the field validates on the one and tests on the other.
_SPLITS = {
    "train": re.compile(r"train(ing|set|data|images)?|trn|entrenamiento|entraînement|treino|训练集?|訓練"),
    "validation": re.compile(r"val(id|idate|idation|set)?|dev(elopment|set)?|validierung|validación|验证集?|検証"),
    "test": re.compile(r"test(ing|set|data|images|en|e)?|tst|eval(uation|set)?|prueba|essai|测试集?|テスト"),
}
_LIKE_SPLITS = re.compile(r"(train|test|valid|evalu|entra[iî]n|trénin)\w*")
_EVALUATION = re.compile(r"eval(uation|set)?")
_OF_TESTS = re.compile(r"dev|challenge|public|private|final|st(andar)?d")  # as in Test-Dev
_EMPTY = re.compile(
    r"(sub)?sets?|split|data(set)?|ima?ges?|imgs?|photos?|pictures?|faces?|art|sequences|videos?|frames?|full|v|\d+"
)
_MASKS = re.compile(  # which say so beside any other word, too
    r"masks?|groundtruth|annotations?|landmarks?|recons?|reconstruct(ed|ions?)|heatmaps?|segmentations?|depthmaps?|"
    r"thumbnails?|thumbs?|previews?|saliency|noiseprints?"
)
_MASK = re.compile(rf"{_MASKS.pattern}|gt|ground|truth|edges?|depth|dire|labels?|residuals?|alpha|differences?")
_GENERATOR = re.compile(
    r"\w*gan\d*|\w*diffusion|gansformer|adm|glide|midjourney(v?\d*)|mj(v?\d+)?|vqdm|wukong|sd(v|xl)?\d*|dall\w?e?\d*|"
    r"dd[pi]m|iddpm|pndm|ldm|firefly|flux|kandinsky|pixart|deepfloyd|crn|imle|seeingdark|whichfaceisreal|deepfakes?|"
    r"face2face|faceswap|faceshifter|neuraltextures|eg3d|hunyuan|vae|nvae|gpt\d*|gemini|ideogram|cogview\d*|craiyon"
)
_NUMBERED = re.compile(r"\d\w*|id|video|vid|part|shard|chunk|frame|subject|person|identity|seq|sequence|scene|clip")
_CLASS = re.compile(  # of CIFAR-10, VOC and LSUN, or an ImageNet synset
    r"airplane|automobile|bird|cat|deer|dog|frog|horse|ship|truck|n\d{8}|aeroplane|bicycle|boat|bottle|bus|car|chair|cow|"
    r"diningtable|motorbike|person|pottedplant|sheep|sofa|tvmonitor|bedroom|church|kitchen|tower|"
    r"bridge|apple|orange|zebra|summer|winter"
)


@lru_cache(maxsize=100_000)
def words(name: str) -> tuple[str, ...]:
    """The words of a name in small letters, the same of `Test-Dev`, `testDev` and `test_dev`."""
    return tuple(_WORD.findall(_SEAM.sub(" ", unicodedata.normalize("NFC", name)).lower()))


def label(name: str) -> int | None:
    """The label that a name stands for, 0 REAL or 1 FAKE; None for one of both, of neither, or with unknown words."""
    rest = [word for word in words(name) if not (_EMPTY.fullmatch(word) or _split(word))]
    labels = {next((number for number, known in enumerate(_LABELS) if known.fullmatch(word)), None) for word in rest}
    return labels.pop() if len(labels) == 1 else None


def says_label(name: str) -> bool:
    """Whether a name has a word of a label."""
    return any(known.fullmatch(word) for word in words(name) for known in _LABELS)


def split(name: str) -> str | None:
    """The split that a name stands for: `unknown` if one stands beside other words, None if it has none."""
    named = [word for word in words(name) if _split(word)]
    if not named:
        return "unknown" if any(map(_LIKE_SPLITS.fullmatch, words(name))) else None
    first = _split(named[0])
    silent = [_EMPTY, *_LABELS, *([_OF_TESTS] if first == "test" else [])]
    rest = {word for word in words(name) if not any(known.fullmatch(word) for known in silent)} - {named[0]}
    # Digits say nothing beside a label, but much beside a split: `val2017`, `test2`.
    return "unknown" if rest or any(word.isdigit() for word in words(name)) else first


def first_split(name: str) -> str:
    """The split of the first word of splits in a name that has one: a guess where `split` knows none."""
    starts = {"tra": "train", "tes": "test", "val": "validation", "eva": "test", "ent": "train", "tré": "train"}
    return next(split for word in words(name) if (split := _split(word) or starts.get(word[:3])))


def _split(word: str) -> str | None:
    return next((split for split, known in _SPLITS.items() if known.fullmatch(word)), None)


def is_evaluation(name: str) -> bool:
    """Whether a name says `eval`, which beside a test may be validation."""
    return any(map(_EVALUATION.fullmatch, words(name)))


def is_mask(name: str) -> bool:
    """Whether images of this name are about others: masks, reconstructions or previews."""
    rest = [word for word in words(name) if not _EMPTY.fullmatch(word)]
    return bool(rest) and (all(map(_MASK.fullmatch, rest)) or any(map(_MASKS.fullmatch, rest)))


def is_generator(name: str, is_alone: bool = False) -> bool:
    """Whether a name has a word by which a generator is known; if it `is_alone`, whether it is nothing else."""
    whole = "".join(words(name))
    if is_alone:
        return bool(_GENERATOR.fullmatch(whole)) and not says_label(name)
    return any(map(_GENERATOR.fullmatch, (whole, *words(name))))


def is_class(name: str) -> bool:
    """Whether a name is one of the classes that pictures are sorted by in many data sets."""
    return bool(_CLASS.fullmatch("".join(words(name))))


def is_numbered(name: str) -> bool:
    """Whether a name counts videos, persons or parts of a data set, and so is no class."""
    return name[:1].isdigit() or all(map(_NUMBERED.fullmatch, words(name)))
