"""Every table of the hub, whoever needs them all: migrations, copies of a hub, and another secret key.

A table is known once its module is imported. What goes over all tables takes them from here, and misses none.
"""

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

METADATA = SQLModel.metadata
