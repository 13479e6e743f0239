"""How RocksDB is set up: what makes its answers durable, what makes it notice damage, and what it may use.

Recovery. The log is read with `tolerate_corrupted_tail_records`: a record that breaks off at the end of a log is
dropped, any other damage refuses the store. A commit is answered after the log was synced, so what broke off was never
acknowledged, and such an end is normal after a loss of power; `absolute_consistency` would refuse to start then.
RocksDB's default, `point_in_time`, drops everything after the first damaged record, acknowledged or not, and says
nothing. A loss of power can also leave a hole in the one record that was under way, and RocksDB takes that for damage:
then, and only if the logs themselves show that it can be one (`rocksdb_log`), they are read with `point_in_time`.

Neither reading knows what was acknowledged. The witness does (`witness`): it has the number of the last change that was
durable. A store that comes up with less has lost some.

Values of 64 KiB and more live in blob files, so that compaction does not copy them again and again.
"""

from pathlib import Path

from rocksdict import AccessType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Options, Rdict

from icn.adapters.storage import rocksdb_log, witness
from icn.adapters.storage.rocksdb_faults import Damage
from icn.kernel.limits import KIB, MIB
from icn.stores.kv import StoreCorrupt

MEMTABLE_BYTES = 32 * MIB
MEMTABLES_MAX = 3
LOG_BYTES_MAX = 128 * MIB
"""Of the log that a start may have to read."""
CACHE_BYTES = 32 * MIB
BLOB_BYTES_MIN = 64 * KIB
BLOOM_BITS_PER_KEY = 10
OPEN_FILES_MAX = 256
WITNESS = "icn-witness"
"""In the store's folder."""
THE_LOG = bytes(witness.LOG_NAME_BYTES)
"""A store numbers its changes through all its logs, so for the witness there is one only."""
NOTES_BYTES_MAX = MIB
"""Of each of the two files `LOG`, in which RocksDB notes what it does."""

_TORN_AT_THE_END = DBRecoveryMode.tolerate_corrupted_tail_records()
_TORN_WITHIN = DBRecoveryMode.point_in_time()


def open_engine(path: Path, *, create: bool) -> Rdict:
    """The open database in the folder `path`, with all that was acknowledged.

    Raises what RocksDB raises, `StoreCorrupt`, `OSError`.
    """
    rocksdb_log.check_ends(path)
    damage = Damage()
    with damage:
        return _complete(Rdict(str(path), _options(_TORN_AT_THE_END, create=create)), path)
    rocksdb_log.require_torn_end(path, str(damage.seen))
    options = _options(_TORN_WITHIN, create=False)
    # Once without writing: a store that lost something is refused as it is.
    _complete(Rdict(str(path), options, access_type=AccessType.read_only(False)), path).close()
    return _complete(Rdict(str(path), options), path)


def _complete(engine: Rdict, path: Path) -> Rdict:
    """The engine itself, if it has all that the witness saw."""
    claim = witness.read(path / WITNESS)
    if claim is None or engine.latest_sequence_number() >= claim.reach:
        return engine
    engine.close()
    raise StoreCorrupt(
        f"{path} has lost the end of its log, with commits that were acknowledged: restore a backup, or let the "
        "federation refill an empty store. If these files were copied while a node was writing to them, or come from "
        f"different copies: remove {path / WITNESS} and start again"
    )


def _options(recovery: DBRecoveryMode, *, create: bool) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(create)
    options.set_paranoid_checks(True)
    options.set_wal_recovery_mode(recovery)
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
