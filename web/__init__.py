"""What people see: pages, and the JSON API for the same."""
