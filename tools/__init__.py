"""What a person runs beside the product: `python -m tools.NAME --help`."""
