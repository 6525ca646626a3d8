"""Every form that the database of the history ever had: a revision a change, run by Alembic when the database is opened."""
