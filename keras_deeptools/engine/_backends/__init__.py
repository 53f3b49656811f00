"""What differs between backends; only the folders in it name one."""
