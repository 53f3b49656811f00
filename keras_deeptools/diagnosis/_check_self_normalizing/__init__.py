"""`check_self_normalizing`: moments over depth, and what breaks them."""
