"""History and audit cannot be changed: triggers refuse it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# Erasure may empty a revision, which takes nothing away from the chain.
SQLITE = (
    """CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
       BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
       BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TRIGGER response_revision_no_update BEFORE UPDATE ON response_revision
       WHEN NEW.nonce IS NOT NULL OR NEW.reason IS NOT NULL OR NEW.active_ms IS NOT NULL
         OR coalesce(NEW.value, 'null') <> 'null' OR coalesce(NEW.shown, 'null') <> 'null'
         OR NEW.response_id <> OLD.response_id OR NEW.revision <> OLD.revision
         OR NEW.cause <> OLD.cause OR NEW.at <> OLD.at
       BEGIN SELECT RAISE(ABORT, 'response_revision is append-only'); END""",
    """CREATE TRIGGER response_revision_no_delete BEFORE DELETE ON response_revision
       BEGIN SELECT RAISE(ABORT, 'response_revision is append-only'); END""",
)
POSTGRESQL = (
    """CREATE FUNCTION refuse_change() RETURNS trigger AS $$
       BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$ LANGUAGE plpgsql""",
    """CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
       EXECUTE FUNCTION refuse_change()""",
    """CREATE TRIGGER response_revision_no_update BEFORE UPDATE ON response_revision FOR EACH ROW
       WHEN (NEW.nonce IS NOT NULL OR NEW.reason IS NOT NULL OR NEW.active_ms IS NOT NULL
         OR coalesce(NEW.value::text, 'null') <> 'null'
         OR coalesce(NEW.shown::text, 'null') <> 'null'
         OR NEW.response_id <> OLD.response_id OR NEW.revision <> OLD.revision
         OR NEW.cause <> OLD.cause OR NEW.at <> OLD.at)
       EXECUTE FUNCTION refuse_change()""",
    """CREATE TRIGGER response_revision_no_delete BEFORE DELETE OR TRUNCATE ON response_revision
       EXECUTE FUNCTION refuse_change()""",
)


def upgrade() -> None:
    """Makes the triggers and the head of the empty chain."""
    head = sa.text("INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, :hash)")
    op.execute(head.bindparams(hash="0" * 64))
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in POSTGRESQL if postgresql else SQLITE:
        op.execute(statement)
