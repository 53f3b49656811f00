"""Everything private in Keras that the engine touches, each behind a function here."""
