"""The spool's files: what a reader makes of every possible end, who may replay which file, and what is refused."""

from __future__ import annotations

import errno
import os
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import spool as module
from receiver.spool import DAMAGED, Spool, SpoolRefused, line_of, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENTRIES = [
    {"at": 1, "open": ["acme|party|1"]},
    {"at": 2, "letter": "gAAAA", "connection": "acme", "field": "00"},
    {"at": 3, "open": []},
]
WHOLE = b"".join(map(line_of, ENTRIES))
MOST = 1024 * 1024


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool", MOST)
    yield made
    made.rest()


def kept(spool: Spool) -> list[object]:
    """All entries that wait to be replayed, each file claimed and left again."""
    found: list[object] = []
    after = ""
    while (claim := spool.next(after=after)) is not None:
        found += claim.content().entries
        after = claim.path.name
        claim.release()
    return found


# The form


def test_what_was_written_is_read() -> None:
    content = read(WHOLE)
    assert (list(content.entries), content.torn, content.damaged) == (ENTRIES, False, 0)


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_cut_anywhere_the_whole_lines_before_the_cut_are_read(length: int) -> None:
    content = read(WHOLE[:length])
    lines = WHOLE[:length].count(b"\n")
    assert list(content.entries) == ENTRIES[:lines]
    assert content.damaged == 0
    assert content.torn == (not WHOLE[:length].endswith(b"\n") and length > 0)


@pytest.mark.parametrize("position", range(len(WHOLE)))
def test_no_flipped_bit_is_taken_for_an_entry(position: int) -> None:
    spoilt = WHOLE[:position] + bytes([WHOLE[position] ^ 1]) + WHOLE[position + 1 :]
    content = read(spoilt)
    assert all(entry in ENTRIES for entry in content.entries)
    assert len(content.entries) < len(ENTRIES)
    assert content.torn or content.damaged


@given(st.binary(max_size=300))
def test_no_content_breaks_the_reader(content: bytes) -> None:
    assert all(isinstance(entry, dict) for entry in read(content).entries)


@pytest.mark.parametrize("text", [b"[]", b"1", b'"x"', b"{", b""], ids=["list", "number", "text", "cut JSON", "nothing"])
def test_a_right_checksum_over_something_else_is_damage(text: bytes) -> None:
    assert read(b"%08x %b\n" % (zlib.crc32(text), text)).damaged == 1


# Files and locks


def test_entries_come_back_in_the_order_in_which_they_came(spool: Spool) -> None:
    spool.append(ENTRIES[:2])
    spool.append(ENTRIES[2:])
    spool.rest()
    assert kept(spool) == ENTRIES


def test_the_file_that_is_being_written_is_nobody_elses(spool: Spool) -> None:
    spool.append(ENTRIES)
    assert Spool(spool.folder, MOST).next() is None
    assert spool.next() is None
    spool.rest()
    assert kept(Spool(spool.folder, MOST)) == ENTRIES


def test_a_file_that_one_replays_is_not_replayed_by_another(spool: Spool) -> None:
    spool.append(ENTRIES)
    spool.rest()
    claim = spool.next()
    assert claim is not None
    assert Spool(spool.folder, MOST).next() is None
    claim.remove()
    assert not list(spool.folder.iterdir())


def test_files_are_replayed_oldest_first_and_each_once_in_a_round(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_BYTES", 1)
    small = Spool(spool.folder, 64)  # a bound so small that each file takes one line
    small.most = MOST
    begun = [small.append([entry]) for entry in ENTRIES]
    small.rest()
    assert begun == [True, True, True]
    assert spool.held().files == 3
    assert kept(spool) == ENTRIES


def test_a_file_that_another_deleted_between_creation_and_lock_is_not_written_to(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module._lock
    stolen: list[Path] = []

    def lock(descriptor: int) -> bool:
        if not stolen:
            # Another process found the empty file, claimed it, replayed nothing and deleted it.
            stolen.append(next(spool.folder.iterdir()))
            stolen[0].unlink()
        return real(descriptor)

    monkeypatch.setattr(module, "_lock", lock)
    spool.append(ENTRIES)
    spool.rest()
    monkeypatch.undo()
    assert kept(spool) == ENTRIES


def test_only_the_owner_can_read_what_is_kept(spool: Spool) -> None:
    spool.append(ENTRIES)
    (path,) = spool.folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert spool.folder.stat().st_mode & 0o777 == 0o700


def test_a_damaged_file_is_set_aside_and_no_longer_counted(spool: Spool) -> None:
    spool.append(ENTRIES)
    spool.rest()
    claim = spool.next()
    assert claim is not None
    claim.remove(damaged=True)
    assert [path.suffix for path in spool.folder.iterdir()] == [DAMAGED]
    assert (spool.next(), spool.held().size) == (None, 0)


# Refusals


def test_beyond_the_bound_nothing_is_kept_and_all_before_it_stays(tmp_path: Path) -> None:
    small = Spool(tmp_path, 3 * len(WHOLE))
    for _ in range(3):
        small.append(ENTRIES)
    with pytest.raises(SpoolRefused, match="full"):
        small.append(ENTRIES[:1])
    small.rest()
    assert kept(small) == ENTRIES * 3
    assert small.held().room == 0


def test_the_bound_counts_what_other_processes_keep(tmp_path: Path) -> None:
    first, second = Spool(tmp_path, 2 * len(WHOLE)), Spool(tmp_path, 2 * len(WHOLE))
    first.append(ENTRIES)
    second.append(ENTRIES)
    with pytest.raises(SpoolRefused, match="full"):
        second.append(ENTRIES)
    first.rest()
    second.rest()


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_a_full_disk_is_a_refusal_and_leaves_no_half_line(spool: Spool, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    spool.append(ENTRIES)
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "no space")
        return real(descriptor, bytes(data[: len(data) // 2]))

    def fails(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, step, half if step == "write" else fails)
    with pytest.raises(SpoolRefused, match="ENOSPC"):
        spool.append([{"at": 9, "open": ["acme|party|9"]}])
    monkeypatch.undo()
    # Then what was there before is whole, and there is room for more when the disk has some
    spool.append([{"at": 10}])
    spool.rest()
    assert kept(spool) == [*ENTRIES, {"at": 10}]
    assert all(not read(path.read_bytes()).torn for path in spool.folder.iterdir())


def test_a_folder_that_cannot_be_made_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolRefused, match=r"ENOTDIR|EEXIST"):
        Spool(tmp_path / "file" / "spool", MOST).prepare()
    with pytest.raises(SpoolRefused):
        Spool(tmp_path / "file" / "spool", MOST).append(ENTRIES)


def test_nothing_is_on_the_disk_until_something_is_kept(tmp_path: Path) -> None:
    assert Spool(tmp_path / "spool", MOST).next() is None
    assert Spool(tmp_path / "spool", MOST).held().files == 0
    assert not list(tmp_path.iterdir())
