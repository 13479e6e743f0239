"""How RocksDB is set up: what makes its answers durable, what makes it notice damage, and what it may use.

Recovery. The log is read with `tolerate_corrupted_tail_records`: a record that breaks off at the end of a log is
dropped, any other damage refuses the store. A commit is answered after the log was synced, so what broke off was never
acknowledged, and such an end is normal after a loss of power; `absolute_consistency` would refuse to start then.
RocksDB's default, `point_in_time`, drops everything after the first damaged record, acknowledged or not, and says
nothing.

Values of 64 KiB and more live in blob files, so that compaction does not copy them again and again.
"""

from pathlib import Path

from rocksdict import BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Options, Rdict

from icn.kernel.limits import KIB, MIB

MEMTABLE_BYTES = 32 * MIB
MEMTABLES_MAX = 3
LOG_BYTES_MAX = 128 * MIB
"""Of the log that a start may have to read."""
CACHE_BYTES = 32 * MIB
BLOB_BYTES_MIN = 64 * KIB
BLOOM_BITS_PER_KEY = 10
OPEN_FILES_MAX = 256
NOTES_BYTES_MAX = MIB
"""Of each of the two files `LOG`, in which RocksDB notes what it does."""


def open_engine(path: Path, *, create: bool) -> Rdict:
    """The open database in the folder `path`. Raises what RocksDB raises."""
    return Rdict(str(path), _options(create=create))


def _options(*, create: bool) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(create)
    options.set_paranoid_checks(True)
    options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
    options.set_compression_type(DBCompressionType.lz4())
    options.set_enable_blob_files(True)
    options.set_min_blob_size(BLOB_BYTES_MIN)
    options.set_blob_compression_type(DBCompressionType.lz4())
    options.set_enable_blob_gc(True)
    tables = BlockBasedOptions()
    tables.set_block_cache(Cache(CACHE_BYTES))
    tables.set_bloom_filter(BLOOM_BITS_PER_KEY, False)
    options.set_block_based_table_factory(tables)
    options.set_write_buffer_size(MEMTABLE_BYTES)
    options.set_max_write_buffer_number(MEMTABLES_MAX)
    options.set_max_total_wal_size(LOG_BYTES_MAX)
    options.set_max_open_files(OPEN_FILES_MAX)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(NOTES_BYTES_MAX)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options
