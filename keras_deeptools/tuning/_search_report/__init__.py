"""What a search has found: results, page, table, recipe."""
