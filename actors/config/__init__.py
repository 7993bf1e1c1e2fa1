"""The topology: its tables, its checks, and its errors in words."""
