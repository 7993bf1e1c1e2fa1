"""Processes, mailboxes and shared memory. Knows nothing of vision, models or the roles."""
