"""The history: a row a screening."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From an empty database."""
    op.create_table(
        "screenings",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("task", sa.String(64), nullable=False, index=True),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("weights_sha256", sa.String(64), nullable=False),
        sa.Column("file_sha256", sa.String(64), nullable=False),
        sa.Column("pseudonym", sa.String(64), index=True),
        sa.Column("is_phantom", sa.Boolean, nullable=False),
        sa.Column("age_years", sa.Float),
        sa.Column("sex", sa.String(1)),
        sa.Column("outcome", sa.String(24), nullable=False),
        sa.Column("confirmed", sa.Boolean, nullable=False),
        sa.Column("score", sa.Float),
        sa.Column("positive", sa.Boolean),
        sa.Column("checks", sa.JSON, nullable=False),
        sa.Column("result", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """To an empty database: every screening is gone."""
    op.drop_table("screenings")
