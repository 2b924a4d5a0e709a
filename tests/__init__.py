"""The tests: each folder is named after the room that it tests, from the outside."""
