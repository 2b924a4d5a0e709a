"""What people see: pages for browsers and the JSON API."""
