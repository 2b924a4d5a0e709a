"""Deployments that follow a tag or a range of versions: what they follow, and how it becomes a revision."""
