"""A webhook remembers up to which audit entry its outbox is filled."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the cursor."""
    column = sa.Column("last_seq", sa.Integer(), nullable=False, server_default="0")
    op.add_column("webhook", column)
