"""From a reference that somebody typed to the bytes of a module, in a form that the fetcher of a target can read."""
