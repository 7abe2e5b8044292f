"""Layouts of public data sets: which split, label, generator, class and cluster each of their images has.

A layout is written as its source describes it, with few images. Braces hold alternatives: `{nature=REAL,ai=FAKE}` are
two folders and what is to be made of them, `{0..3}` four names. `generator=$1` is the first alternative, `split=train`
goes without saying.
"""

import hashlib
import itertools
import re
import shlex
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

import data_prep.__main__ as command
from data_prep.layout.images import Listing
from support.commands import ROOT
from support.shards import table


class Expected(NamedTuple):
    """What is to be made of an image."""

    split: str
    label: str
    generator: str | None
    object_class: str | None
    cluster: str | None


@dataclass(frozen=True)
class Layout:
    """Where a layout is described, its images, options of the command, and a part of the refusal without them."""

    where: str
    images: str
    options: str = ""
    refusal: str = ""

    def expected(self) -> dict[str, Expected]:
        """Path → what is to be made of it."""
        return dict(expected for line in self.images.strip().splitlines() for expected in _expected(line.strip()))


def _expected(line: str) -> Iterator[tuple[str, Expected]]:
    pattern, *words = re.split(r"\s{2,}", line)
    fixed = dict(word.split("=") for word in words)
    places = re.split(r"\{([^}]*)\}", pattern)
    for chosen in itertools.product(*map(_alternatives, places[1::2])):
        path = "".join(itertools.chain(*itertools.zip_longest(places[::2], (name for name, _ in chosen), fillvalue="")))
        meant = {("label" if value in ("REAL", "FAKE") else "split"): value for _, value in chosen if value}
        named = {key: chosen[int(value[1:]) - 1][0] if value[0] == "$" else value for key, value in fixed.items()}
        said = {"split": "train", **meant, **named}
        kinds = (said.get(kind) for kind in ("generator", "class", "cluster"))
        yield path, Expected(said["split"], said["label"], *kinds)


def _alternatives(text: str) -> list[tuple[str, str]]:
    if match := re.fullmatch(r"(\d+)\.\.(\d+)", text):
        return [(str(number), "") for number in range(int(match[1]), int(match[2]) + 1)]
    return [(name, value) for name, _, value in (word.partition("=") for word in text.split(","))]


#: All images of these are decoded.
DECODED = {
    "GenImage": Layout(
        "DRCT, data/dataset.py: `val` is its test set",
        """
        {ADM,BigGAN}/imagenet_ai_0508/{train=train,val=test}/{nature=REAL,ai=FAKE}/{0..5}.png  generator=$1
        Midjourney/{train=train,val=test}/{nature=REAL,ai=FAKE}/{0..3}.png  generator=Midjourney
        """,
        "--split val=test",
        "--split val=test or --split val=validation",
    ),
    "ForenSynths, train": Layout(
        "CNNDetection, README.md; UniversalFakeDetect, README.md",
        "train/progan/{airplane,train,tvmonitor}/{0_real=REAL,1_fake=FAKE}/{0..5}.png  generator=progan  class=$1",
    ),
    "ForenSynths, test": Layout(
        "CNNDetection, README.md and issue 24",
        """
        {biggan,deepfake,san,whichfaceisreal}/{0_real=REAL,1_fake=FAKE}/{0..3}.png  generator=$1
        {cyclegan,progan}/{apple,train}/{0_real=REAL,1_fake=FAKE}/{0..3}.png  generator=$1  class=$2
        """,
        "--split train=none",
        "--split train=none",
    ),
    "140k faces": Layout(
        "Kaggle, xhlulu/140k-real-and-fake-faces",
        "real_vs_fake/real-vs-fake/{train=train,valid=validation,test=test}/{real=REAL,fake=FAKE}/{0..3}.png",
    ),
    "Deepfake and real images": Layout(
        "Kaggle, manjilkarki/deepfake-and-real-images",
        "Dataset/{Train=train,Validation=validation,Test=test}/{Real=REAL,Fake=FAKE}/{0..3}.png",
    ),
    "real-and-fake-face-detection": Layout(
        "Kaggle, ciplab/real-and-fake-face-detection",
        "real_and_fake_face/{training_real=REAL,training_fake=FAKE}/{0..9}.png",
    ),
    "FaceForensics++ C23": Layout(
        "Kaggle's FaceForensics++ C23: `original` beside each method",
        """
        C23/{original=REAL}/{0..9}.png
        C23/{Deepfakes=FAKE,Face2Face=FAKE,FaceSwap=FAKE}/{0..3}.png  generator=$1
        """,
    ),
    "FaceForensics++, as frames": Layout(
        "DeepfakeBench, README.md: a folder of frames a video",
        """
        {original_sequences=REAL}/youtube/c23/frames/{0..9}/{0..1}.png  cluster=$2
        {manipulated_sequences=FAKE}/{Deepfakes,FaceSwap}/c23/frames/{0..9}/{0..1}.png  generator=$2  cluster=$3
        """,
        "--cluster-level -1",
    ),
}

#: Of these only the names are read.
NAMED = {
    "GenImage, packed again": Layout(
        "FiSeR, DATASETS.md",
        "genimage_test/test/{adm_imagenet,sdv5_imagenet}/{nature=REAL,ai=FAKE}/0.png  generator=$1",
        "--split genimage_test=none --split test=none",
        "has no training split",
    ),
    "Tiny-GenImage": Layout(
        "Kaggle, tiny-genimage",
        "{imagenet_ai_0419_biggan,imagenet_glide}/{train=train,val=test}/{nature=REAL,ai=FAKE}/0.png  generator=$1",
        "--split val=test",
        "--split val=test",
    ),
    "ForenSynths, as downloaded": Layout(
        "AI-GenBench, dataset_creation",
        """
        {progan_train=train,progan_val=validation}/{cat,train}/{0_real=REAL,1_fake=FAKE}/0.png  class=$2
        {CNN_synth_testset=test}/biggan/{0_real=REAL,1_fake=FAKE}/0.png  generator=biggan
        """,
        "--split CNN_synth_testset=test --split progan_train=train --split progan_val=validation",
        "--split CNN_synth_testset=test --split progan_train=train --split progan_val=validation",
    ),
    "UniversalFakeDetect": Layout(
        "UniversalFakeDetect, dataset_paths.py: reals shared by generators",
        """
        {imagenet=REAL,laion=REAL}/0_real/0.png
        {guided=FAKE,ldm_200=FAKE,dalle=FAKE}/1_fake/0.png  generator=$1
        """,
    ),
    "UniversalFakeDetect, without labels": Layout(
        "UniversalFakeDetect, README.md",
        """
        {imagenet=REAL,laion=REAL}/0.png
        {guided=FAKE,ldm_200=FAKE,dalle=FAKE}/0.png  generator=$1
        """,
        "--real imagenet --real laion --fake guided --fake ldm_200 --fake dalle",
        "--real NAME",
    ),
    "DRCT-2M": Layout(
        "DRCT, README.md: COCO's names of splits, photographs of their own",
        """
        {MSCOCO=REAL}/{train2017=train,val2017=test}/000.jpg
        {DRCT-2M=FAKE}/{stable-diffusion-v1-4,sd-turbo}/{train2017=train,val2017=test}/000.png  generator=$2
        """,
        "--real MSCOCO --fake DRCT-2M --split train2017=train --split val2017=test",
        "--real NAME",
    ),
    "DFDCP": Layout(
        "SelfBlendedImages, data/datasets.md",
        """
        {original_videos=REAL}/videos/643049/0.png
        {method_A=FAKE,method_B=FAKE}/videos/{643049,1224068}/0.png  generator=$1
        """,
        "--fake method_A --fake method_B",
        "--fake method_A --fake method_B (or --real, or --ignore)",
    ),
    "Celeb-DF": Layout(
        "celeb-deepfakeforensics, README.md",
        """
        {Celeb-real=REAL,YouTube-real=REAL}/{id0,id1}/0.png  cluster=$2
        {Celeb-synthesis=FAKE}/{id0,id1}/0.png  cluster=$2
        """,
        "--real Celeb-real --real YouTube-real --fake Celeb-synthesis --cluster-level 2",
        "--real NAME",
    ),
    "DiffusionForensics": Layout(
        "DIRE, README.md: a generator's folder is what says FAKE",
        """
        images/{train=train,val=validation,test=test}/{lsun,imagenet}/{real=REAL}/0.png  class=$2
        images/{train=train,val=validation,test=test}/{lsun,imagenet}/{adm=FAKE}/0.png  generator=adm  class=$2
        images/{train=train,val=validation,test=test}/{lsun,imagenet}/{sdv1=FAKE}/0.png  generator=sdv1  class=$2
        """,
        "--class-level 3",
    ),
    "CASIA": Layout(
        "imds' documentation of CASIA v2",
        "CASIA2/{Au=REAL,Tp=FAKE}/{0..1}.tif",
        "--real Au --fake Tp",
        "--real NAME",
    ),
    "Columbia": Layout(
        "Kaggle's copy, nested twice",
        "{4cam_auth=REAL}/4cam_auth/0.tif\n{4cam_splc=FAKE}/4cam_splc/0.tif",
        "--real 4cam_auth --fake 4cam_splc",
        "--real NAME",
    ),
    "DFFD": Layout(
        "DFFD's loaders: a split below each source",
        """
        {ffhq=REAL}/{train=train,validation=validation,test=test}/0.png
        {pggan_v1=FAKE,faceapp=FAKE}/{train=train,validation=validation,test=test}/0.png  generator=$1
        """,
        "--real ffhq --fake pggan_v1 --fake faceapp",
        "--real NAME",
    ),
    "OpenForensics": Layout(
        "Zenodo 5528418: folders in folders of their name",
        """
        {Train=train}/Train/{real=REAL,fake=FAKE}/0.png
        {Val=validation}/Val/{real=REAL,fake=FAKE}/0.png
        {Test-Dev=test}/Test-Dev/{real=REAL,fake=FAKE}/0.png
        {Test-Challenge=test}/Test-Challenge/{real=REAL,fake=FAKE}/0.png
        """,
    ),
    "Chameleon": Layout(
        "AIDE: a test alone",
        "Chameleon/Chameleon/test/{0_real=REAL,1_fake=FAKE}/0.png",
        "--split test=none",
        "with --split test=none",
    ),
    "WildFake": Layout(
        "FiSeR, DATASETS.md: families stand beside `Real`",
        """
        Images/{Real=REAL}/coco/0.png
        Images/{GAN_based=FAKE,Diffusion_based=FAKE}/Typical/{styleGAN,dalle3}/0.png  generator=$2
        """,
        "--generator-level 4",
    ),
    "AIGIBench": Layout(
        "FiSeR, DATASETS.md",
        """
        {train=train,test=test}/{DALLE-3,FLUX1-dev}/a_b/{0_real=REAL,1_fake=FAKE}/0.png  generator=$2
        """,
    ),
    "CIFAKE": Layout("Kaggle, birdy654", "{train=train,test=test}/{REAL=REAL,FAKE=FAKE}/{0000 (10),0 (2)}.jpg"),
    "AI generated images vs real images": Layout(
        "Kaggle, cashbowman: nested twice",
        "{RealArt=REAL}/RealArt/0.png\n{AiArtData=FAKE}/AiArtData/0.png",
    ),
    "DALL-E recognition": Layout("Kaggle, superpotato9", "{real=REAL}/0.png\n{fakeV2=FAKE}/fake-v2/0.png"),
    "DeepFakeFace": Layout(
        "OpenRL/DeepFakeFace: no word says FAKE",
        "{wiki=REAL}/{00,01}/0.jpg  cluster=$2\n{inpainting=FAKE,insight=FAKE}/{00,01}/0.jpg  generator=$1  cluster=$2",
        "--real wiki --fake inpainting --fake insight --cluster-level 2",
        "--real NAME",
    ),
    "AI-generated faces": Layout("Kaggle, shahzaibshazoo", "AI-face-detection-Dataset/{AI=FAKE,real=REAL}/0.png"),
    "HardFake": Layout("Kaggle, hamzaboulahia", "hardfakevsrealfaces/{fake=FAKE,real=REAL}/0.png"),
    "WildRF": Layout(
        "WildRF's loaders: a platform in test alone",
        """
        WildRF/{train=train}/{0_real=REAL,1_fake=FAKE}/0.png
        WildRF/{test=test}/{reddit,twitter}/{0_real=REAL,1_fake=FAKE}/0.png
        """,
    ),
    "AutoSplice": Layout(
        "AutoSplice's loaders: three qualities of a forgery",
        "{Authentic=REAL,Forged_JPEG100=FAKE,Forged_JPEG90=FAKE}/{0..1}.jpg",
        "--fake Forged_JPEG100 --fake Forged_JPEG90",
    ),
    "AIGCDetectBenchmark": Layout(
        "AIGCDetectBenchmark, eval_config.py",
        """
        AIGCDetect_testset/test/{ADM,DALLE2}/{0_real=REAL,1_fake=FAKE}/0.png  generator=$1
        AIGCDetect_testset/test/progan/{cat,horse}/{0_real=REAL,1_fake=FAKE}/0.png  generator=progan  class=$1
        """,
        "--split AIGCDetect_testset=none --split test=none",
        "has no training split",
    ),
    "WildDeepfake": Layout(
        "WildDeepfake's loaders: label and split in one name",
        """
        deepfake_in_the_wild/{real_train=REAL,fake_train=FAKE}/{0,1}/0.png  cluster=$2
        deepfake_in_the_wild/{real_test=REAL,fake_test=FAKE}/{0,1}/0.png  split=test  cluster=$2
        """,
        "--cluster-level -1",
    ),
    "DeepFaceGen": Layout(
        "DeepFaceGen, README.md",
        """
        {Image Real Subsets=REAL}/{Celeb-DF,ForgeryNet}/0.png
        {Image Forged Subsets=FAKE}/{SD1,tra_FSGAN}/0.png  generator=$2
        """,
    ),
    "DataSynFace": Layout(
        "DataSynFace, README.md",
        """
        {train=train,test=test}/{0_real=REAL}/{celeba-hq_real_aligned,ffhq_aligned}/0.png
        {train=train,test=test}/{1_fake=FAKE}/{progan_aligned,stargan_aligned}/0.png  generator=$3
        """,
    ),
    "COCOFake": Layout(
        "COCOFake's loaders: two names of one split, a folder for each photograph",
        """
        {cocofake=FAKE}/{train2014=train,val2014=test}/{000,001}/0.png
        {coco-2014=REAL}/{train=train,validation=test}/data/0.jpg
        """,
        "--real coco-2014 --fake cocofake --split train2014=train --split val2014=test --split validation=test",
        "--real NAME",
    ),
    "splits in French": Layout("a private data set", "{Entraînement=train,Essai=test}/{real=REAL,fake=FAKE}/0.png"),
    "DiFF": Layout(
        "DiFF's loaders: kinds of manipulation above generators",
        """
        {train_subsets=train,test_subsets=test}/{Real=REAL}/0.png
        {train_subsets=train,test_subsets=test}/{T2I=FAKE,I2I=FAKE}/{SDXL,Midjourney}/0.png  generator=$3
        """,
        "--fake I2I --fake T2I",
        "--fake I2I --fake T2I",
    ),
    "RINE": Layout(
        "RINE, README.md: generators at two depths, a class called train",
        """
        {test=test}/biggan/{0_real=REAL,1_fake=FAKE}/0.png  generator=biggan
        {test=test}/progan/{cat,train}/{0_real=REAL,1_fake=FAKE}/0.png  generator=progan  class=$2
        {test=test}/diffusion_datasets/{guided,ldm_200}/{0_real=REAL,1_fake=FAKE}/0.png  generator=$2
        {train=train}/{airplane,train}/{0_real=REAL,1_fake=FAKE}/0.png  class=$2
        """,
    ),
    "one generator without splits": Layout(
        "a private data set",
        """
        sdxl/{train=train,test=test}/{ai=FAKE,nature=REAL}/0.png  generator=sdxl
        {flux=train}/{ai=FAKE,nature=REAL}/0.png  generator=flux
        """,
        "--split flux=train",
        "--split flux=ignore",
    ),
    "a holdout": Layout(
        "a private data set",
        "{train=train,test=test}/{real=REAL,fake=FAKE}/{0..1}.png",
        "--split holdout=ignore",
    ),
    "splits below labels": Layout("data sets of two folders", "{Real=REAL,Fake=FAKE}/{train=train,test=test}/0.png"),
    "a test within train": Layout(
        "nobody's, but for its danger", "{train=train,train/test=test}/{REAL=REAL,FAKE=FAKE}/0.png"
    ),
    "RealFaces_w_StableDiffusion": Layout(
        "RealFaces_w_StableDiffusion, README.md",
        "png_images/{train=train,eval=validation,test=test}/{fake=FAKE,real=REAL}/0.png",
        "--split eval=validation",
        "--split eval=validation",
    ),
    "splits as in ASVspoof": Layout(
        "ASVspoof's names of splits", "{train=train,dev=validation,eval=test}/{bonafide=REAL,spoof=FAKE}/0.png"
    ),
    "FaceForensics++, with masks": Layout(
        "DeepfakeBench, README.md",
        "{original_sequences=REAL,manipulated_sequences=FAKE}/frames/{0..1}.png",
        "--ignore masks",
        "--ignore masks",
    ),
}


def files_of(layout: Layout, root: Path) -> dict[str, str]:
    """Write an image of noise for each path of a layout; sha256 → path."""
    generator, paths = np.random.default_rng(0), {}
    for path in layout.expected():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).save(file)
        paths[hashlib.sha256(file.read_bytes()).hexdigest()] = path
    return paths


def run(*words: str) -> str:
    """Run the command in this process, and return what it prints."""
    done = CliRunner().invoke(command.main, words)
    return done.output + (str(done.exception.message) if hasattr(done.exception, "message") else "")


@pytest.mark.parametrize("layout", DECODED.values(), ids=DECODED)
def test_each_image_of_a_layout_is_what_it_is(layout: Layout, tmp_path: Path) -> None:
    paths = files_of(layout, tmp_path / "source")
    words = ("--source", str(tmp_path / "source"), "--out", str(tmp_path / "out"), "--image-size", "8")
    if layout.refusal:
        assert layout.refusal in run(*words)
    run(*words, "--validation", "0.2", "--no-near-copies", *shlex.split(layout.options))
    rows = pd.concat(table(tmp_path / "out", split) for split in ("train", "validation", "test"))
    said = {}
    for row in rows.astype(object).where(rows.notna(), None).to_dict("records"):
        official = row["path"].partition("/")[0]  # and not the split that was cut out of it
        label = ("REAL", "FAKE")[row["label"]]
        said[paths[row["sha256"]]] = Expected(official, label, row["generator"], row["object_class"], row["cluster"])
    assert said == layout.expected()


@pytest.mark.parametrize("layout", NAMED.values(), ids=NAMED)
def test_the_names_of_a_layout_are_understood(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listings = list[Listing]()
    monkeypatch.setattr("data_prep.__main__.outline", lambda source, listing: listings.append(listing) or "")
    archive = tmp_path / "made.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in layout.expected():
            file.writestr(path, path)
        if "--ignore masks" in layout.options:
            file.writestr("original_sequences/masks/0.png", "")
        if "holdout=ignore" in layout.options:
            file.writestr("holdout/real/0.png", "")
    words = ("--source", str(archive), "--plan")
    if layout.refusal:
        assert layout.refusal in run(*words)
    run(*words, *shlex.split(layout.options))
    items = listings[-1].items
    said = {}
    for item in items:
        label = ("REAL", "FAKE")[item.label]
        said[item.file.name] = Expected(item.split, label, item.generator, item.object_class, item.cluster)
    assert said == layout.expected()
    assert len({item.path for item in items}) == len(items)


def test_the_table_of_data_sets_is_these() -> None:
    layouts = sorted((DECODED | NAMED).items(), key=lambda named: named[0].lower())
    rows = [f"| {name} | {f'`{layout.options}`' if layout.options else 'none'} |" for name, layout in layouts]
    assert "\n".join(["|---|---|", *rows, ""]) in (ROOT / "docs" / "data.md").read_text()


def test_clusters_stay_in_one_split(tmp_path: Path) -> None:
    """Twenty videos and what two methods made of each, five frames: two are test, a fifth of the rest validation."""
    images = """
    {original_sequences=REAL}/{0..19}/{0..4}.png  cluster=$2
    {manipulated_sequences=FAKE}/{Deepfakes,FaceSwap}/{0..19}/{0..4}.png  generator=$2  cluster=$3
    """
    files_of(Layout("", images), tmp_path / "source")
    words = ("--source", str(tmp_path / "source"), "--out", str(tmp_path / "out"), "--image-size", "8")
    run(*words, "--cluster-level", "-1", "--validation", "0.2")
    clusters = {split: table(tmp_path / "out", split)["cluster"] for split in ("train", "validation", "test")}
    assert [set(names.value_counts()) for names in clusters.values()] == [{15}] * 3
    assert {split: names.nunique() for split, names in clusters.items()} == {"train": 15, "validation": 3, "test": 2}
    assert len(set().union(*clusters.values())) == 20


@pytest.mark.parametrize(
    ("images", "options", "told"),
    [
        ("{train=train,test=test,extra=train}/{REAL=REAL,FAKE=FAKE}/0.png", "", "--split extra=ignore"),
        ("{train=train,test=test,train/val=test}/{REAL=REAL,FAKE=FAKE}/0.png", "", "--split val=validation"),
        ("train/{REAL=REAL,REAL/test=REAL,FAKE=FAKE}/0.png", "", "lacks FAKE images in its test split"),
        ("{REAL=REAL,FAKE=FAKE}/{original,edited}/0.png", "", "both REAL and FAKE by its names"),
        (
            "a/{train=train,test=test}/{REAL=REAL,FAKE=FAKE}/0.png\nb/{REAL=REAL,FAKE=FAKE}/0.png",
            "",
            "--split b=ignore",
        ),
        (
            "{real=REAL}/0.png\n{real=REAL,fake=FAKE}/{train,test}/0.png",
            "",
            "beside the folders of its splits, in 'real'",
        ),
        (
            "{real=REAL,fake=FAKE}/{Trainingsdaten,Testdaten}/0.png",
            "",
            "--split Testdaten=test --split Trainingsdaten=train",
        ),
        ("{training,holdout}/{real=REAL,fake=FAKE}/0.png", "", "--split holdout=ignore, or by --split training=none"),
        ("{train,test}/{train,test}/{real=REAL,fake=FAKE}/0.png", "", "rename the folders of one level"),
        ("{real=REAL,fake=FAKE}/{train,test,bus}/0.png", "", "--split test=none --split train=none"),
        ("real/{train,test}/{0=REAL}.png\nfake/{0=FAKE}.png", "", "--split test=none --split train=none"),
        ("{train,test,holdout}/{real=REAL,fake=FAKE}/0.png", "--split holdout=ignore --ignore tset", "--ignore tset"),
        (
            "{train,test}/{real=REAL,fake=FAKE}/0.png",
            "--split test=test --split test=train",
            "given as test and as train",
        ),
        ("{original=REAL,resized=FAKE}/0.png", "", "which may be generators; say what each is, as by --fake resized"),
        ("{photos=REAL,ai=FAKE}/0.png", "", "has no REAL images, and folders without a label, 'photos'"),
        ("real/{0=REAL}.png\nfake/{a_mask,sdxl}/{0=FAKE}.png", "", "--ignore a_mask"),
        ("{train,test}/{real=REAL,fake=FAKE}/0.png", "--generator-level 2", "at that level, a split or a label"),
        ("my-test/train/{REAL=REAL,FAKE=FAKE}/0.png", "", "--split my-test=none"),
        ("{REAL=REAL,FAKE=FAKE}/{images,masks}/0.png", "", "--ignore masks"),
        ("{REAL=REAL,FAKE=FAKE}/0.png", "--real REEL", "has no folder or label named 'reel'; it has 'FAKE', 'REAL'"),
        ("{REAL=REAL,FAKE=FAKE}/0.png", "--split tset=test", "has no folder or label named 'tset'"),
        ("{REAL=REAL,FAKE=FAKE}/0.png", "--class-level 2", "has no folders at level 2; give 1 to 1, or -1 to -1"),
        ("{REAL=REAL,FAKE=FAKE}/0.png", "--real a --fake A", "'a' is given as --real and as --fake"),
        ("{REAL=REAL,FAKE=FAKE}/0.png", "--split test", "'test' is no NAME=SPLIT"),
        ("{cats=REAL,dogs=FAKE}/0.png", "", "no folder that says REAL or FAKE (its folders are 'cats', 'dogs')"),
    ],
)
def test_what_is_not_certain_is_refused(images: str, options: str, told: str, tmp_path: Path) -> None:
    files_of(Layout("", images), tmp_path / "source")
    assert told in run("--source", str(tmp_path / "source"), "--plan", *shlex.split(options))
