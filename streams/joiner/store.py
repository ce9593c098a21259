"""One partition's rows in RocksDB, written only after the commit.

There is no write-ahead log: the changelog restores rows that a crash takes from memory. Flushes
keep the order of the writes, so the rows on disk are always those of the checkpoint beside them.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Final

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    RdictIter,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from streams import logs, private
from streams.errors import DamagedStoreError, StoreError
from streams.joiner.held import HeldPrefixes
from topology import codec, limits, tables
from topology.tables import Checkpoint, RequestRow

_MIB: Final = 1024 * 1024
# So often that the checkpoint on disk of a partition without input doesn't grow too old to be used.
_FLUSH_S: Final = 600.0
_WORK: Final = tables.WORK_SPACES
_REQUEST: Final = tables.REQUESTS[0]
_TIMER: Final = tables.TIMERS[0]
_TRACKED: Final = tables.MET_SPACES | _WORK | {_REQUEST}

log = logs.get(__name__)


class Memory:
    """The memory for cache and write buffers that all partitions of a process share."""

    def __init__(self, budget_mib: int) -> None:
        """Share `budget_mib` MiB; at most half of it holds writes that aren't on disk yet."""
        self.cache = Cache(budget_mib * _MIB)
        self.buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            budget_mib * _MIB // 2, allow_stall=False, cache=self.cache
        )

    def options(self) -> Options:
        """The options of a partition's RocksDB."""
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self.cache)
        blocks.set_block_size(8 * 1024)
        blocks.set_bloom_filter(10, block_based=False)
        blocks.set_cache_index_and_filter_blocks(True)  # the binding has no keyword
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
        blocks.set_format_version(5)
        options = Options(raw_mode=True)
        options.create_if_missing(create_if_missing=True)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self.buffers)
        options.set_write_buffer_size(32 * _MIB)
        # Most look-ups are for repeats and find no row, so rows in memory have a filter too.
        options.set_memtable_prefix_bloom_ratio(0.05)
        options.set_memtable_whole_key_filtering(True)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_bottommost_compression_type(DBCompressionType.zstd())
        options.set_max_background_jobs(2)
        options.set_max_open_files(256)
        options.set_level_compaction_dynamic_level_bytes(True)
        options.set_keep_log_file_num(2)
        options.set_stats_dump_period_sec(0)
        return options


class Store:
    """The rows of one partition; used by one thread."""

    def __init__(self, path: Path, memory: Memory) -> None:
        """Open the rows in the folder `path`, or create it.

        Raises (all methods):
            DamagedStoreError: the files can't be read; `wipe` and open again.
            StoreError: the disk refuses, or another process has the rows open.
        """
        private.make_folder(path)
        self.path = path
        self._db = _open(path, memory)
        self._write_options = WriteOptions()
        # The stubs say that this is a method; it is a property.
        self._write_options.disable_wal = True  # type: ignore[method-assign,assignment]
        self._db.set_write_options(self._write_options)
        self._held = HeldPrefixes()
        self.may_hold = self._held.may_hold
        self.may_hold_any = self._held.may_hold_any  # asked so often that a call in between counts
        self.held_spaces = self._held.spaces
        self._work: dict[bytes, None] = {}  # in the order of their turns
        self._requests: dict[bytes, RequestRow] = {}
        self._timers_from = tables.TIMERS
        self._flushed_at = monotonic()
        for space in tables.MET_SPACES:
            for key in self._keys(bytes([space])):
                self._held.add(key[tables.PREFIX])
        for space in _WORK:
            self._work.update(dict.fromkeys(self._keys(bytes([space]))))
        for key, value in self.scan(tables.REQUESTS, tables.REQUESTS):
            self._track_request(key, value)

    def get(self, key: bytes) -> bytes | None:
        """The value of the row with a key; None if there is no such row."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            raise _failure(error) from error
        return value

    def scan(self, start: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of the rows with a prefix, from the key `start` on, in order."""
        bounds = _up_to(_after(prefix))
        rows = self._db.iter(bounds)  # `items` would end at a damaged row without an error
        rows.seek(start)
        while rows.valid():
            yield rows.key(), rows.value()
            rows.next()
        _check(rows)

    def last(self, prefix: bytes) -> bytes:
        """The last key under a prefix; empty if there is none."""
        rows = self._db.iter(_up_to(_after(prefix)))
        rows.seek_to_last()
        key: bytes = rows.key() if rows.valid() else b""
        _check(rows)
        return key if key.startswith(prefix) else b""

    def due(self, watermark: int, limit: int) -> list[bytes]:
        """Keys of at most `limit` timers that the watermark has passed, earliest first.

        A timer is given once, unless `undo_due` returns it.
        """
        timers: list[bytes] = []
        bounds = _up_to(tables.timers_until(watermark))
        rows = self._db.iter(bounds)
        rows.seek(self._timers_from)
        while rows.valid():
            key = rows.key()
            if len(timers) == limit:
                self._timers_from = key
                return timers
            timers.append(key)
            rows.next()
        _check(rows)
        self._timers_from = tables.timers_until(watermark)
        return timers

    def undo_due(self, timers: list[bytes]) -> None:
        """Let timers be due again whose transaction was aborted."""
        if timers:
            self._timers_from = min(self._timers_from, timers[0])

    def work(self) -> list[bytes]:
        """Keys of the work rows whose turns come next."""
        return list(islice(self._work, limits.SLICE_DECISIONS))

    def had_turns(self, keys: Iterable[bytes]) -> None:
        """Put these work rows, as far as they are still there, behind all others."""
        for key in keys:
            if key in self._work:
                del self._work[key]
                self._work[key] = None

    def is_work(self, key: bytes) -> bool:
        """Whether there is a work row under a key."""
        return key in self._work

    def oldest_meeting(self) -> int:
        """See `tables.oldest_meeting`, of all work rows."""
        return tables.oldest_meeting(self._work)

    def requests(self) -> Mapping[bytes, RequestRow]:
        """The requests that aren't over, by the keys of their rows."""
        return self._requests

    def batch(
        self,
        facts: Mapping[bytes, bytes | None],
        derived: Mapping[bytes, bytes | None],
        checkpoint: Checkpoint,
    ) -> WriteBatch:
        """The rows of one transaction with its checkpoint, for the next `write`; None deletes."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in facts.items():
            if key[0] in _TRACKED:
                self._track(key, value)
            if value is None:
                delete(key)
            else:
                put(key, value)
        for key, value in derived.items():
            if value is None:
                delete(key)
            else:
                put(key, value)
                if key[0] == _TIMER and key < self._timers_from:
                    self._timers_from = key
        put(tables.CHECKPOINT_KEY, codec.CHECKPOINTS.encode(checkpoint))
        return batch

    def write(self, batch: WriteBatch) -> None:
        """Write a batch in one step."""
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:
            raise _failure(error) from error
        if monotonic() - self._flushed_at > _FLUSH_S:
            self.flush()

    def checkpoint(self) -> Checkpoint | None:
        """How far the rows follow the changelog; None if they are new or have another format."""
        value = self.get(tables.CHECKPOINT_KEY)
        if value is None:
            return None
        try:
            return codec.CHECKPOINTS.decode(value)
        except codec.CodecError:
            return None

    def flush(self) -> None:
        """Bring all rows to disk, so that a restart has less to restore."""
        try:
            self._db.flush()
        except Exception as error:
            raise _failure(error) from error
        self._flushed_at = monotonic()

    def bytes_on_disk(self) -> int:
        """The size of the files in bytes."""
        return self._db.property_int_value("rocksdb.total-sst-files-size") or 0

    def close(self) -> None:
        """Bring all rows to disk if it has room, and release the files."""
        try:
            self.flush()
        except StoreError as error:
            log.warning("Rows were not flushed: they will be restored", error=str(error))
        finally:
            self._db.close()

    def _keys(self, prefix: bytes) -> Iterator[bytes]:
        """The keys with a prefix, whose values may be large."""
        bounds = _up_to(_after(prefix))
        rows = self._db.iter(bounds)
        rows.seek(prefix)
        while rows.valid():
            yield rows.key()
            rows.next()
        _check(rows)

    def _track(self, key: bytes, value: bytes | None) -> None:
        if key[0] in _WORK:
            self._track_work(key, present=value is not None)
            return
        if key[0] == _REQUEST:
            self._track_request(key, value)
            return
        existed, exists = self.get(key) is not None, value is not None
        if exists and not existed:
            self._held.add(key[tables.PREFIX])
        elif existed and not exists:
            self._held.remove(key[tables.PREFIX])

    def _track_request(self, key: bytes, value: bytes | None) -> None:
        row = None if value is None else codec.REQUEST_ROWS.decode(value)
        if row is None or row.over:
            self._requests.pop(key, None)
        else:
            self._requests[key] = row
        works = row is not None and row.scanning
        self._track_work(key, present=works)

    def _track_work(self, key: bytes, *, present: bool) -> None:
        if present:
            self._work.setdefault(key)
        else:
            self._work.pop(key, None)


def wipe(path: Path) -> None:
    """Delete the files of a partition's rows, which the changelog holds too."""
    shutil.rmtree(path, ignore_errors=True)


def _open(path: Path, memory: Memory) -> Rdict:
    try:
        return Rdict(str(path), memory.options(), access_type=AccessType.read_write())
    except Exception as error:
        # Another process holds the lock; every other reason lies in the files.
        kind = StoreError if "lock" in str(error).lower() else DamagedStoreError
        raise kind(str(error)) from error


def _up_to(end: bytes) -> ReadOptions:
    """Options of an iterator that ends before the key `end`; keep them as long as the iterator."""
    bounds = ReadOptions()
    bounds.set_iterate_upper_bound(end)
    return bounds


def _check(rows: RdictIter) -> None:
    """Raise the error that ended an iteration, if one did."""
    try:
        rows.status()
    except Exception as error:
        raise _failure(error) from error


def _failure(error: Exception) -> StoreError:
    """Our error for one of RocksDB's, which differ in their texts only."""
    text = str(error)
    return (DamagedStoreError if text.startswith("Corruption") else StoreError)(text)


def _after(prefix: bytes) -> bytes:
    """The smallest key after all keys with a prefix."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1])
