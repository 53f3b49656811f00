"""The rules of `audit`, one file for each subject, and what they read."""
