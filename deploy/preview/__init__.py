"""What a deployment would be, and what it would change, before it is one."""
