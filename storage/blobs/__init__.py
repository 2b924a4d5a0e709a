"""The blob store: bytes under keys of their own. A key is chosen when an upload begins and is never used again."""
