"""Processes, mailboxes and shared memory. Independent of vision, models and roles."""
