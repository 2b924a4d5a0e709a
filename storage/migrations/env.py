"""Runs the migrations on the connection that the hub hands over."""

from alembic import context
from sqlmodel import SQLModel

import storage.device_tables
import storage.factor_tables
import storage.following_tables
import storage.mesh_tables
import storage.people_tables
import storage.rollout_tables
import storage.set_tables
import storage.sign_on_tables
import storage.tables
import storage.upkeep_tables
import storage.usage_tables  # noqa: F401

context.configure(connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata)
with context.begin_transaction():
    context.run_migrations()
