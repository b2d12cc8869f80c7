"""The EIN layout: tables in three formats, anchored radiance, and every way in which it can be wrong."""

import shutil
import zipfile

import numpy as np
import OpenEXR
import pytest
import torch
from small_sets import light, make_pairs, write_table

from hdrgan.data.batch import Batch
from hdrgan.data.layout import DatasetError, recognise_layout
from hdrgan.data.scene_cache import SceneCache
from hdrgan.data.survey import ReadSettings, survey
from hdrgan.files.radiance import save_hdr
from hdrgan.light.radiometry import linear_to_srgb

SETTINGS = ReadSettings(crop_size=32)


def look(root, **options):
    return survey(root, SETTINGS, SceneCache(None), **options)


def faults_of(root):
    with pytest.raises(DatasetError) as caught:
        look(root)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize("suffix", [".xls", ".csv"])
def test_tables_are_read_and_valid_is_the_validation(tmp_path, suffix):
    root = make_pairs(tmp_path / "data", suffix=suffix)
    assert recognise_layout(root) == "pairs"
    found = look(root)
    assert (len(found.training), len(found.validation)) == (4, 1)
    assert {pair.split for pair in found.validation} == {"valid"}


def test_an_xlsx_table_is_read(tmp_path):
    root = make_pairs(tmp_path / "data")
    (root / "train.xls").unlink()
    _write_xlsx(root / "train.xlsx", [("id", "SDR", "HDR"), (1, "0.png", "0.hdr"), (2, "1.png", "1.hdr")])
    assert [pair.radiance.name for pair in look(root).training] == ["0.hdr", "1.hdr"]


def _write_xlsx(file, rows):
    """The least that is a workbook: one sheet of inline strings."""
    cells = "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in row) + "</row>" for row in rows
    )
    space = "http://schemas.openxmlformats.org"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{space}/package/2006/content-types"><Default Extension="xml" '
        'ContentType="application/xml"/><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override '
        'PartName="/xl/worksheets/sheet1.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{space}/package/2006/relationships"><Relationship Id="r" '
        f'Type="{space}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{space}/spreadsheetml/2006/main" '
        f'xmlns:r="{space}/officeDocument/2006/relationships"><sheets><sheet name="s" sheetId="1" r:id="r"/></sheets>'
        "</workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{space}/package/2006/relationships"><Relationship Id="r" '
        f'Type="{space}/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{space}/spreadsheetml/2006/main"><sheetData>{cells}'
        "</sheetData></worksheet>",
    }
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, '<?xml version="1.0"?>' + text)


def test_names_without_suffix_and_numbers_find_their_files(tmp_path):
    root = make_pairs(tmp_path / "data")
    write_table(root / "train.xls", [(0, 0), ("1", "1.png")])
    assert [pair.srgb.name for pair in look(root).training] == ["0.png", "1.png"]


def test_radiance_is_brought_onto_the_photo(tmp_path):
    root = make_pairs(tmp_path / "data", train=1)
    data = look(root).open(validation=False, settings=SETTINGS, seed=0, cache=SceneCache(None))
    radiance = data.whole(0)["radiance"].float().numpy()
    truth = light(0, 48, 48)  # the file held seven times as much
    shown = truth.max(-1) < 0.8
    assert np.median(radiance[shown] / truth[shown]) == pytest.approx(1, abs=0.02)


def test_photo_and_radiance_are_cropped_alike(tmp_path):
    root = make_pairs(tmp_path / "data", train=1)
    data = look(root).open(validation=False, settings=SETTINGS, seed=0, cache=SceneCache(None))
    items = torch.utils.data.default_collate([data[epoch, 0] for epoch in range(6)])
    batch = Batch(items, (-4, -2, 0, 2, 4), torch.device("cpu"))
    assert batch.srgb.shape == (6, 3, 32, 32)
    assert (batch.bracket[:, 2] == batch.srgb).all()
    assert (linear_to_srgb(batch.radiance) - batch.srgb).abs().mean() < 0.01


def no_table(root):
    (root / "train.xls").unlink()


def no_column(root):
    write_table(root / "train.xls", [("0.hdr", "0.png")], ("HDR", "LDR"))


def bad_table(root):
    (root / "train.xls").write_bytes(b"not a workbook")


def no_cell(root):
    write_table(root / "train.xls", [("0.hdr", "0.png"), ("1.hdr", "")])


def no_file(root):
    (root / "train_HDR" / "2.hdr").unlink()


def no_folder(root):
    shutil.rmtree(root / "valid_SDR")


def corrupt_photo(root):
    (root / "train_SDR" / "1.png").write_bytes(b"\x89PNG nothing")


def corrupt_light(root):
    file = root / "train_HDR" / "1.hdr"
    file.write_bytes(file.read_bytes()[:-600])


def nan_light(root):
    (root / "train_HDR" / "3.hdr").unlink()
    bad = light(3, 48, 48)
    bad[5, 5] = np.nan
    OpenEXR.File({}, {"RGB": bad}).write(str(root / "train_HDR" / "3.exr"))
    write_table(root / "train.xls", [("0.hdr", "0.png"), ("3.exr", "3.png")])


def black_light(root):
    save_hdr(root / "train_HDR" / "1.hdr", np.zeros((48, 48, 3), np.float32))


def mixed_sizes(root):
    save_hdr(root / "train_HDR" / "1.hdr", light(1, 40, 48))


def too_small(root):
    for name in ("train_HDR/1.hdr", "train_SDR/1.png"):
        (root / name).unlink()
    (root / "small").mkdir()
    small = make_pairs(root / "small" / "data", train=2, side=24)
    for name in ("train_HDR/1.hdr", "train_SDR/1.png"):
        shutil.copy(small / name, root / name)
    shutil.rmtree(root / "small")


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (no_table, "train.xls: this table is missing"),
        (no_column, "train.xls: missing column SDR (columns: HDR, LDR)"),
        (bad_table, "train.xls: cannot be read: "),
        (no_cell, "train.xls row 3: has no SDR"),
        (no_file, "train.xls row 4: missing file train_HDR/2.hdr"),
        (no_folder, "valid_SDR: this folder is missing"),
        (corrupt_photo, "train_SDR/1.png: "),
        (corrupt_light, "train_HDR/1.hdr: "),
        (nan_light, "train_HDR/3.exr: "),
        (black_light, "train_HDR/1.hdr: holds no light"),
        (mixed_sizes, "train.xls row 3: mixed sizes: SDR is 48 x 48, HDR is 48 x 40"),
        (too_small, "train.xls row 3: 24 x 24 is smaller than the crop of 32 pixels"),
    ],
)
def test_every_fault_is_named(tmp_path, spoil, line):
    root = make_pairs(tmp_path / "data")
    spoil(root)
    lines = faults_of(root)
    assert len(lines) == 1
    assert lines[0].startswith(line)


def test_bad_rows_can_be_skipped(tmp_path):
    root = make_pairs(tmp_path / "data")
    corrupt_photo(root)
    no_file(root)
    assert len(faults_of(root)) == 2
    found = look(root, skip_bad=True)
    assert len(found.training) == 2
    assert len(found.faults) == 2
