"""Names: no two photos end in one file, and nothing is replaced that hdrgan did not write."""

import os
import sys

import photo_files
import pytest
import raw_files
from click.testing import CliRunner

from hdrgan.batch.find import RAW_SUFFIXES, InputPhoto, find_photos, read_list
from hdrgan.batch.plan import plan
from hdrgan.cli import app
from hdrgan.files.names import bracket_names


def names(output):
    return sorted(path.relative_to(output).as_posix() for path in output.rglob("*.hdr"))


def test_folders_with_equal_names_keep_their_structure(hdrgan, make_photo, tmp_path):
    for seed, name in enumerate(("a/x.jpg", "b/x.jpg", "b/deep/x.jpg", "a/._x.jpg", "a/y.jfif")):
        make_photo(tmp_path / name, seed, format="JPEG")
    light = ("--hdr", "hdr", "-o", tmp_path / "out")
    done = hdrgan("reconstruct", tmp_path / "a", tmp_path / "b", "-r", *light)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == ["a/x.hdr", "a/y.hdr", "b/deep/x.hdr", "b/x.hdr"]
    contents = {(tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}
    assert len(contents) == 4
    assert len(set(done.stdout.split())) == 4


def test_photos_of_one_stem_carry_their_suffix(hdrgan, make_photo, tmp_path):
    make_photo(tmp_path / "in/IMG_1.JPG", 1)
    (tmp_path / "in/IMG_1.HEIC").write_bytes(photo_files.heic(photo_files.picture()))
    make_photo(tmp_path / "in/IMG_2.JPG", 3)
    done = hdrgan("reconstruct", tmp_path / "in", "--hdr", "hdr", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == ["IMG_1.HEIC.hdr", "IMG_1.JPG.hdr", "IMG_2.hdr"]


def test_names_that_are_cleaned_alike_are_refused_and_the_others_done(hdrgan, make_photo, tmp_path):
    folder = os.fsencode(tmp_path / "in")
    make_photo(tmp_path / "in/photo.png", 1)
    data = (tmp_path / "in/photo.png").read_bytes()
    for name in (b"a:b.png", b"a_b.png", b"caf\xe9.png", b"caf\xe8.png", b"na\xefve.png"):
        with open(folder + b"/" + name, "wb") as file:
            file.write(data)
    done = hdrgan("reconstruct", tmp_path / "in", "--hdr", "hdr", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert names(tmp_path / "out") == ["na_ve.hdr", "photo.hdr"]
    assert "The results of a:b.png and a_b.png would have the same names; rename one of them." in done.stderr
    assert done.stderr.count("would have the same names") == 4
    assert (tmp_path / "out/failed.jsonl").read_text().count('"path"') == 4


def test_what_hdrgan_did_not_write_stays(hdrgan, make_photo, tmp_path):
    make_photo(tmp_path / "scene.png")
    (tmp_path / "scene.exr").write_text("my own render")
    done = hdrgan("reconstruct", tmp_path / "scene.png", "-o", tmp_path)
    assert done.returncode == 1
    assert "scene.exr is there already and was not written by" in done.stderr
    assert "--overwrite" in done.stderr
    assert (tmp_path / "scene.exr").read_text() == "my own render"
    assert hdrgan("reconstruct", tmp_path / "scene.png", "-o", tmp_path, "--overwrite").returncode == 0
    assert (tmp_path / "scene.exr").read_bytes().startswith(b"\x76\x2f\x31\x01")


def test_a_photo_is_never_replaced_not_even_when_told_to_overwrite(hdrgan, make_photo, tmp_path):
    make_photo(tmp_path / "x.jpg", 1)
    make_photo(tmp_path / "x_ev+2.jpg", 2)  # the user's own: no EXIF says hdrgan
    before = (tmp_path / "x_ev+2.jpg").read_bytes()
    done = hdrgan("generate", tmp_path, "-o", tmp_path, "--format", "jpg", "--overwrite")
    assert done.returncode == 1
    assert "x_ev+2.jpg is itself a photo of this batch" in done.stderr
    assert (tmp_path / "x_ev+2.jpg").read_bytes() == before


def test_a_file_that_was_edited_since_stays(hdrgan, make_photo, tmp_path):
    photo = make_photo(tmp_path / "in/x.png")
    command = ("generate", photo, "-o", tmp_path / "out", "--format", "tiff")
    assert hdrgan(*command).returncode == 0
    (tmp_path / "out/x_ev+2.tiff").write_text("retouched for hours")
    assert hdrgan(*command).returncode == 0, "all files are there"
    (tmp_path / "out/x_ev+4.tiff").unlink()
    done = hdrgan(*command)
    assert done.returncode == 1
    assert "x_ev+2.tiff has been changed since it was written" in done.stderr
    assert (tmp_path / "out/x_ev+2.tiff").read_text() == "retouched for hours"


def test_another_photo_of_the_same_name_does_not_take_the_place_of_the_first(hdrgan, make_photo, tmp_path):
    for seed, name in enumerate("ab"):
        make_photo(tmp_path / name / "x.bmp", seed)
    light = ("--hdr", "hdr", "-o", tmp_path / "out")
    assert hdrgan("reconstruct", tmp_path / "a", *light).returncode == 0
    before = (tmp_path / "out/x.hdr").read_bytes()
    done = hdrgan("reconstruct", tmp_path / "b", *light)
    assert done.returncode == 1
    assert "was made of another photo" in done.stderr
    assert (tmp_path / "out/x.hdr").read_bytes() == before


def test_a_third_run_over_its_own_output_finds_nothing_to_do(hdrgan, make_photo, tmp_path, files_in):
    make_photo(tmp_path / "x.jpg")
    for kind in ("jpg", "png", "tiff"):
        command = ("generate", tmp_path, "-o", tmp_path, "--format", kind, "--hdr", "ultrahdr", "--evs=-2,0,2")
        assert hdrgan(*command).returncode == 0
        first = files_in(tmp_path)
        done = hdrgan(*command)
        assert done.returncode == 0
        assert "results of hdrgan among the photos" in done.stderr
        assert files_in(tmp_path) == first
    only = hdrgan("generate", tmp_path / "x_ev+0.png", "-o", tmp_path)
    assert only.returncode == 2
    assert "that hdrgan itself wrote" in only.stderr


def test_a_result_that_is_named_by_itself_is_a_photo_where_no_record_claims_it(hdrgan, make_photo, tmp_path):
    make_photo(tmp_path / "x.jpg")
    assert hdrgan("reconstruct", tmp_path / "x.jpg", "--hdr", "ultrahdr", "-o", tmp_path / "out").returncode == 0
    ours = tmp_path / "out/x_ultrahdr.jpg"
    light = ("--hdr", "hdr", "-o", tmp_path / "light")
    done = hdrgan("reconstruct", ours, *light)
    assert done.returncode == 2
    assert "but 1 that hdrgan itself wrote" in done.stderr
    sent = tmp_path / "sent/lamps_ultrahdr.jpg"
    sent.parent.mkdir()
    sent.write_bytes(ours.read_bytes())
    assert "that hdrgan itself wrote" in hdrgan("reconstruct", sent.parent, *light).stderr, "found in a folder"
    assert "that hdrgan itself wrote" in hdrgan("reconstruct", "--from", "-", *light, stdin=os.fsencode(sent)).stderr
    done = hdrgan("reconstruct", sent, *light)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "light") == ["lamps_ultrahdr.hdr"]
    assert "light recorded by the camera" in done.stderr


def test_files_of_other_programs_that_are_named_like_results_are_photos(hdrgan, make_photo, tmp_path):
    for seed, name in enumerate(("x_ev+2.png", "x_ev-1.5.tiff", "x_ultrahdr.jpg", "x_finished.jpg")):
        make_photo(tmp_path / "in" / name, seed)
    done = hdrgan("reconstruct", tmp_path / "in", "--hdr", "hdr", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == ["x_ev+2.hdr", "x_ev-1.5.hdr", "x_finished.hdr", "x_ultrahdr.hdr"]


def test_exposures_that_are_nearly_equal_have_names_of_their_own():
    evs = (-1.5, 0.0, 1.0, 1.0000001)
    assert bracket_names("x", evs, "png") == ["x_ev-1.5.png", "x_ev+0.png", "x_ev+1.png", "x_ev+1.0000001.png"]


@pytest.mark.parametrize(
    ("found", "places"),
    [
        ([("in/x.jpg", "in"), ("in/deep/y.jpg", "in")], ["x", "deep/y"]),
        ([("in/a/x.jpg", "in/a"), ("in/b/y.jpg", "in/b")], ["a/x", "b/y"]),
        ([("a/x.jpg", ""), ("b/y.jpg", "")], ["x", "y"]),
        ([("in/a/x.jpg", ""), ("in/b/x.jpg", ""), ("in/y.jpg", "")], ["a/x", "b/x", "y"]),
        ([("x.jpg", ""), ("x.png", ""), ("y.png", "")], ["x.jpg", "x.png", "y"]),
    ],
)
def test_the_plan_of_names(found, places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planned = plan([InputPhoto(*one) for one in found])
    assert [one.place for one in planned] == places
    assert not any(one.refusal for one in planned)


def test_a_suffix_that_makes_the_name_of_a_third_photo_is_refused():
    planned = plan([InputPhoto("x.jpg"), InputPhoto("x.png"), InputPhoto("x.jpg.tif")])
    assert [bool(one.refusal) for one in planned] == [True, False, True]


def test_nothing_found_is_explained(hdrgan, tmp_path):
    (tmp_path / "nest/deep").mkdir(parents=True)
    assert "--recursive" in hdrgan("generate", tmp_path / "nest").stderr
    (tmp_path / "drawings").mkdir()
    (tmp_path / "drawings/a.psd").write_bytes(b"8BPS")
    assert "1 .psd" in hdrgan("generate", tmp_path / "drawings").stderr
    assert "--from" in hdrgan("generate", "-o", tmp_path / "out").stderr


def test_lists_of_photos(hdrgan, make_photo, tmp_path):
    paths = [make_photo(tmp_path / name, seed) for seed, name in enumerate(("a/x.png", "b/x.png", "c d.png"))]
    missing = tmp_path / "missing.png"
    lines = "\n".join(map(str, [*paths, missing, paths[0]])).encode()
    done = hdrgan("reconstruct", "--from", "-", "--hdr", "hdr", "-o", tmp_path / "out", stdin=lines)
    assert done.returncode == 1
    assert names(tmp_path / "out") == ["a/x.hdr", "b/x.hdr", "c d.hdr"]
    assert f"{missing}: There is no file of this name" in done.stderr
    (tmp_path / "list").write_bytes(b"a.jpg\0b\nc.jpg\0")
    assert read_list(str(tmp_path / "list")) == ["a.jpg", "b\nc.jpg"]


def test_hidden_files_and_formats_of_other_names(tmp_path):
    for name in ("a.jfif", "b.JPE", "c.mpo", "d.hif", "._e.jpg", ".f.jpg", "g.txt"):
        (tmp_path / name).write_bytes(b"x")
    found = find_photos([str(tmp_path)]).photos
    assert [os.path.basename(one.path) for one in found] == ["a.jfif", "b.JPE", "c.mpo", "d.hif"]


def test_raw_files_of_a_folder_are_taken(hdrgan, make_photo, tmp_path):
    make_photo(tmp_path / "in/IMG_1.JPG", 1)
    for name in ("IMG_1.DNG", "IMG_2.dng"):
        (tmp_path / "in" / name).write_bytes(raw_files.dng(raw_files.scene()))
    done = hdrgan("reconstruct", tmp_path / "in", "--hdr", "hdr", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == ["IMG_1.DNG.hdr", "IMG_1.JPG.hdr", "IMG_2.hdr"]
    assert "left out" not in done.stderr


def test_raw_files_are_left_out_in_one_line_where_rawpy_is_not_installed(make_photo, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    for suffix in RAW_SUFFIXES:
        (tmp_path / f"a{suffix.upper()}").write_bytes(b"raw")
    search = find_photos([str(tmp_path)])
    assert not search.photos
    assert "but 12 camera raw files, which need another package: pip install rawpy" in search.why_nothing(["x"])
    make_photo(tmp_path / "b.jpg", 1)
    search = find_photos([str(tmp_path)])
    assert [os.path.basename(one.path) for one in search.photos] == ["b.jpg"]
    (line,) = search.left_out()
    assert line.startswith("left out: 12 camera raw files")
    done = CliRunner().invoke(app, ["reconstruct", str(tmp_path), "--hdr", "hdr", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert done.stderr.count(line) == 1
    # A raw file that is named itself is meant: the decoder says what it needs.
    assert find_photos([str(tmp_path / "a.DNG")]).photos
