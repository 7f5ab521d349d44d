"""Where labels live: tables, transactions, migrations."""

from fairlead.feedback.store.engine import Store, connect
from fairlead.feedback.store.migrate import migrate

__all__ = ["Store", "open_store"]


def open_store(url: str) -> Store:
    """Opens a database and brings its tables up to date.

    Args:
        url: a path to an SQLite file, `sqlite:///FILE` or `postgresql://USER@HOST/NAME`.

    Raises:
        ConfigError: no such kind of database, or one of a later version of Fairlead.
    """
    store = connect(url)
    try:
        migrate(store)
    except BaseException:
        store.close()
        raise
    return store
