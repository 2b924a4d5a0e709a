"""What the answer to a pull rests on, in one statement: it sees one moment and costs one round trip.

It only fetches. What follows from the facts is decided where all permissions are; equal facts lead to equal answers.
"""

from typing import NamedTuple


class Question(NamedTuple):
    """Who asks for what: a tag, a manifest's digest or a blob's digest in the repository of that name."""

    user_id: int | None
    name: str
    tag: str | None = None
    digest: str | None = None
    blob: str | None = None


class Facts(NamedTuple):
    """What the database says; all None where there is no such active user, repository, manifest or blob.

    `team_role` is the asker's in the team that owns the repository; `granted` whether a role on it was given besides.
    """

    role: str | None = None
    user_generation: int | None = None
    team_role: str | None = None
    granted: bool | None = None
    namespace_id: int | None = None
    owner_user_id: int | None = None
    repository_id: int | None = None
    name: str | None = None  # of the repository, as it is now
    visibility: str | None = None
    repository_generation: int | None = None
    manifest_id: int | None = None
    digest: str | None = None
    media_type: str | None = None
    size: int | None = None
    warning: str | None = None  # why the module of the manifest would not run
    blob_id: int | None = None
    blob_key: str | None = None
    blob_size: int | None = None
    fades: bool | None = None  # whether too little of the blob's lease is left for a pusher to count on


_MANIFEST = "COALESCE(m.{0}, d.{0})"
# For a pusher to whom a blob is shown there must be left at least half a lease; some more, because the clock has steps.
_FADES = "b.leased_until < c.reading + c.lease * 3 / 4"
_HELD = "CASE WHEN h.blob_id IS NOT NULL THEN {} END"
_GRANTED = """CASE WHEN r.id IS NOT NULL THEN EXISTS (SELECT 1 FROM grants g
    WHERE g.repository_id = r.id AND (g.user_id = u.id OR u.kind = 'person' AND EXISTS
    (SELECT 1 FROM memberships s JOIN teams w ON w.id = s.team_id AND w.deleted_at IS NULL
    WHERE s.team_id = g.team_id AND s.user_id = u.id))) END"""
_FACTS = f"""
SELECT u.role, u.generation, t.role, {_GRANTED},
    n.id, n.user_id, r.id, r.name, r.visibility, r.generation,
    {_MANIFEST.format("id")}, {_MANIFEST.format("digest")}, {_MANIFEST.format("media_type")},
    COALESCE(LENGTH(m.content), LENGTH(d.content)), i.reason,
    h.blob_id, {_HELD.format("b.key")}, {_HELD.format("b.size")},
    {_HELD.format(_FADES)}
FROM {{asked}}
LEFT JOIN users u ON u.id = q.user_id AND u.active
LEFT JOIN repositories r ON r.name = q.name
LEFT JOIN namespaces n ON n.id = r.namespace_id
LEFT JOIN memberships t ON t.team_id = n.team_id AND t.user_id = u.id
LEFT JOIN tags g ON g.repository_id = r.id AND g.name = q.tag
LEFT JOIN manifests m ON m.id = g.manifest_id
LEFT JOIN manifests d ON d.repository_id = r.id AND d.digest = q.digest
LEFT JOIN inspections i ON i.manifest_id = COALESCE(m.id, d.id) AND i.state IN ('module', 'failed')
LEFT JOIN blobs b ON b.digest = q.blob AND b.damaged_at IS NULL
LEFT JOIN repository_blobs h ON h.repository_id = r.id AND h.blob_id = b.id
LEFT JOIN hub_clock c ON c.id = 1"""
ONE_ON_SQLITE = _FACTS.format(asked=f"(SELECT {', '.join(f':{name} AS {name}' for name in Question._fields)}) q")
# As many questions as come, in their order. The snapshot is the statement's own: the facts are true of that version.
ALL_ON_POSTGRESQL = (
    _FACTS.format(
        asked="unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[]) WITH ORDINALITY"
        f" AS q({', '.join(Question._fields)}, number)"
    )
    + " ORDER BY q.number"
).replace("SELECT ", "SELECT CAST(pg_current_snapshot() AS text), ", 1)
