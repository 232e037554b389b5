"""Entry points, one question each: `python -m experiments.<name> --help`."""
